// The official openai SDK for JavaScript against a shop. Prints one JSON object: what each scenario saw.
// Environment: SHOP_URL (with /v1), SHOP_KEYS (JSON: customer -> key).

import OpenAI, { toFile } from "openai";

const baseURL = process.env.SHOP_URL;
const keys = JSON.parse(process.env.SHOP_KEYS);
const ask = [{ role: "user", content: "Hi" }];
const weather = {
  type: "function",
  function: {
    name: "weather",
    description: "The weather in a city.",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

/** A client, and the retry counts of the HTTP requests it made. */
function clientOf(key, options = {}) {
  const asked = [];
  const counting = (url, init) => {
    asked.push(new Headers(init.headers).get("x-stainless-retry-count"));
    return fetch(url, init);
  };
  return { asked, client: new OpenAI({ baseURL, apiKey: keys[key] ?? key, fetch: counting, ...options }) };
}

async function chat(key) {
  const { client, asked } = clientOf(key);
  const { data, response } = await client.chat.completions.create({ model: "say", messages: ask }).withResponse();
  return {
    content: data.choices[0].message.content,
    finish: data.choices[0].finish_reason,
    usage: data.usage,
    model: data.model,
    charge: response.headers.get("x-mintage-charge"),
    asked,
  };
}

async function stream(key) {
  const { client } = clientOf(key);
  const chunks = [];
  const options = { model: "say", messages: ask, stream: true, stream_options: { include_usage: true } };
  for await (const chunk of await client.chat.completions.create(options)) chunks.push(chunk);
  return {
    role: chunks[0].choices[0].delta.role,
    content: chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""),
    finish: chunks.flatMap((chunk) => chunk.choices.map((choice) => choice.finish_reason)).findLast(Boolean),
    lastChoices: chunks.at(-1).choices,
    total: chunks.at(-1).usage.total_tokens,
    earlier: chunks.slice(0, -1).map((chunk) => chunk.usage ?? null).filter(Boolean).length,
  };
}

/** The SDK calls the function itself and asks again until there is an answer. */
async function tools(key, stream) {
  const { client, asked } = clientOf(key);
  const cities = [];
  const run = client.chat.completions.runTools({
    model: "tools",
    messages: ask,
    stream,
    tools: [
      {
        type: "function",
        function: {
          ...weather.function,
          parse: JSON.parse,
          function: ({ city }) => {
            cities.push(city);
            return { Paris: "sunny", Rome: "windy" }[city];
          },
        },
      },
    ],
  });
  return { content: await run.finalContent(), cities, asked };
}

async function refused(key, fields, options) {
  const { client, asked } = clientOf(key, options);
  try {
    const answer = await client.chat.completions.create({ model: "say", messages: ask, ...fields });
    if (fields.stream) for await (const _ of answer);
    return { error: null, asked };
  } catch (error) {
    const { status, code, param, type, requestID, message } = error;
    return { error: { name: error.constructor.name, status, code, param, type, requestID, message }, asked };
  }
}

/** The other operations of this dialect. */
async function rest(key) {
  const { client } = clientOf(key);
  const answer = await client.responses.create({ model: "say", input: "Hi" });
  const names = [];
  const running = client.responses.stream({ model: "say", input: "Hi" });
  for await (const event of running) names.push(event.type);
  const vectors = await client.embeddings.create({ model: "embed", input: ["four"] });
  const verdict = await client.moderations.create({ model: "moderate", input: "kill" });
  const sound = await client.audio.speech.create({ model: "speak", voice: "alloy", input: "Hello!" });
  const file = await toFile(Buffer.from("RIFFsound"), "a.wav");
  const transcript = await client.audio.transcriptions.create({ model: "transcribe", file });
  const kept = await client.files.create({ file: await toFile(Buffer.from("{}"), "a.jsonl"), purpose: "batch" });
  const content = await (await client.files.content(kept.id)).text();
  return {
    response: answer.output_text,
    streamed: (await running.finalResponse()).output_text,
    first: names[0],
    last: names.at(-1),
    vector: vectors.data[0].embedding,
    flagged: verdict.results[0].flagged,
    sound: Buffer.from(await sound.arrayBuffer()).toString("latin1"),
    transcript: transcript.text,
    file: content,
  };
}

const refusals = {
  bad_key: ["mk-nobody", {}],
  unknown_model: ["rich", { model: "gpt-99" }],
  empty_wallet: ["poor", {}],
  invalid_body: ["rich", { temperature: 9 }],
  unknown_field: ["rich", { frobnicate: 1 }],
  too_long: ["rich", { model: "long" }],
};

const seen = {};
for (const key of ["rich", "shaped"]) {
  seen[`chat/${key}`] = await chat(key);
  seen[`stream/${key}`] = await stream(key);
  seen[`tools/${key}`] = await tools(key, false);
  seen[`tools_streamed/${key}`] = await tools(key, true);
  seen[`broken/${key}`] = await refused(key, { model: "broken" }, { maxRetries: 1 });
  seen[`busy/${key}`] = await refused(key, { model: "busy" }, { maxRetries: 1 });
  seen[`cut/${key}`] = await refused(key, { model: "cut", stream: true });
}
for (const [name, [key, fields]] of Object.entries(refusals)) {
  seen[`${name}/whole`] = await refused(key, fields);
  seen[`${name}/stream`] = await refused(key, { ...fields, stream: true });
}
seen.rest = await rest("rich");
const { client } = clientOf("rich");
seen.models = [];
for await (const model of client.models.list()) seen.models.push(model.id);
seen.completion = (await client.completions.create({ model: "completion", prompt: "Two and two is" })).choices[0].text;
console.log(JSON.stringify(seen));
