// The official @google/genai against a shop. Prints one JSON object: what each scenario saw.
// Environment: SHOP_URL, SHOP_KEYS (JSON: customer -> key).

import { GoogleGenAI } from "@google/genai";

const baseUrl = process.env.SHOP_URL;
const keys = JSON.parse(process.env.SHOP_KEYS);
const base = { model: "say", contents: "Hi" };
const clientOf = (key) => new GoogleGenAI({ apiKey: keys[key] ?? key, httpOptions: { baseUrl } });
const usageOf = ({ usageMetadata: usage }) => [
  usage.promptTokenCount,
  usage.cachedContentTokenCount,
  usage.candidatesTokenCount,
];
const weather = {
  functionDeclarations: [
    {
      name: "weather",
      description: "The weather in a city.",
      parameters: { type: "OBJECT", properties: { city: { type: "STRING" } }, required: ["city"] },
    },
  ],
};

async function generate(key) {
  const answer = await clientOf(key).models.generateContent({ ...base, config: { systemInstruction: "Be kind." } });
  return { text: answer.text, finish: answer.candidates[0].finishReason, usage: usageOf(answer) };
}

async function stream(key) {
  const chunks = [];
  for await (const chunk of await clientOf(key).models.generateContentStream(base)) chunks.push(chunk);
  return {
    text: chunks.map((chunk) => chunk.text ?? "").join(""),
    finish: chunks.at(-1).candidates[0].finishReason,
    usage: usageOf(chunks.at(-1)),
  };
}

/** A chat that answers the model's calls, as applications do. */
async function tools(key) {
  const chat = clientOf(key).chats.create({ model: "tools", config: { tools: [weather] } });
  const first = await chat.sendMessage({ message: "Hi" });
  const calls = first.functionCalls;
  const message = calls.map(({ id, name, args }) => ({
    functionResponse: { id, name, response: { output: { Paris: "sunny", Rome: "windy" }[args.city] } },
  }));
  return { cities: calls.map((call) => call.args.city), text: (await chat.sendMessage({ message })).text };
}

async function refused(key, fields, streamed) {
  try {
    const models = clientOf(key).models;
    const request = { ...base, ...fields };
    if (streamed) for await (const _ of await models.generateContentStream(request));
    else await models.generateContent(request);
    return null;
  } catch (error) {
    return { name: error.name, status: error.status, message: error.message };
  }
}

const refusals = {
  bad_key: ["mk-nobody", {}],
  unknown_model: ["rich", { model: "gemini-99" }],
  empty_wallet: ["poor", {}],
  invalid_body: ["rich", { config: { temperature: 9 } }],
  too_long: ["rich", { model: "long" }],
  broken: ["rich", { model: "broken" }],
};

const seen = {};
for (const key of ["rich", "shaped"]) {
  seen[`generate/${key}`] = await generate(key);
  seen[`stream/${key}`] = await stream(key);
  seen[`tools/${key}`] = await tools(key);
}
for (const [name, [key, fields]] of Object.entries(refusals)) {
  seen[`${name}/whole`] = await refused(key, fields, false);
  seen[`${name}/stream`] = await refused(key, fields, true);
}
seen.cut = await refused("rich", { model: "cut" }, true);
seen.models = [];
for await (const model of await clientOf("rich").models.list({ config: { pageSize: 5 } })) seen.models.push(model.name);
seen.count = (await clientOf("rich").models.countTokens(base)).totalTokens;
console.log(JSON.stringify(seen));
