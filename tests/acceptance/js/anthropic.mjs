// The official @anthropic-ai/sdk against a shop. Prints one JSON object: what each scenario saw.
// Environment: SHOP_URL, SHOP_KEYS (JSON: customer -> key).

import Anthropic from "@anthropic-ai/sdk";

const baseURL = process.env.SHOP_URL;
const keys = JSON.parse(process.env.SHOP_KEYS);
const messages = [{ role: "user", content: "Hi" }];
const base = { model: "say", messages, max_tokens: 50 };
const weather = {
  name: "weather",
  description: "The weather in a city.",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};
const clientOf = (key, options = {}) => new Anthropic({ baseURL, apiKey: keys[key] ?? key, ...options });
const textOf = (message) => message.content.flatMap((block) => (block.type === "text" ? [block.text] : [])).join("");

async function message(key) {
  const { data, response } = await clientOf(key).messages.create({ ...base, system: "Be kind." }).withResponse();
  return {
    text: textOf(data),
    stop: data.stop_reason,
    usage: [data.usage.input_tokens, data.usage.cache_read_input_tokens, data.usage.output_tokens],
    charge: response.headers.get("x-mintage-charge"),
  };
}

async function stream(key, fields) {
  const running = clientOf(key).messages.stream({ ...base, ...fields });
  const texts = [];
  running.on("text", (text) => texts.push(text));
  const final = await running.finalMessage();
  return {
    texts: texts.join(""),
    text: textOf(final),
    stop: final.stop_reason,
    kinds: final.content.map((block) => block.type),
    inputs: final.content.flatMap((block) => (block.type === "tool_use" ? [block.input] : [])),
    usage: [final.usage.input_tokens, final.usage.cache_read_input_tokens, final.usage.output_tokens],
  };
}

async function refused(key, fields) {
  try {
    const answer = await clientOf(key, { maxRetries: 0 }).messages.create({ ...base, ...fields });
    if (fields.stream) for await (const _ of answer);
    return null;
  } catch (error) {
    return { name: error.constructor.name, status: error.status, type: error.type, requestID: error.requestID };
  }
}

const refusals = {
  bad_key: ["mk-nobody", {}],
  unknown_model: ["rich", { model: "claude-99" }],
  empty_wallet: ["poor", {}],
  invalid_body: ["rich", { max_tokens: -1 }],
  unknown_field: ["rich", { frobnicate: 1 }],
  too_long: ["rich", { model: "long" }],
  broken: ["rich", { model: "broken" }],
};

const seen = {};
for (const key of ["rich", "shaped"]) {
  seen[`message/${key}`] = await message(key);
  seen[`stream/${key}`] = await stream(key, {});
  seen[`tools/${key}`] = await stream(key, { model: "tools", tools: [weather] });
  seen[`think/${key}`] = await stream(key, {
    model: "think",
    max_tokens: 2000,
    thinking: { type: "enabled", budget_tokens: 1024 },
  });
}
for (const [name, [key, fields]] of Object.entries(refusals)) {
  seen[`${name}/whole`] = await refused(key, fields);
  seen[`${name}/stream`] = await refused(key, { ...fields, stream: true });
}
seen.cut = await refused("rich", { model: "cut", stream: true });
seen.models = [];
for await (const model of clientOf("rich").models.list({ limit: 5 })) seen.models.push(model.id);
seen.count = (await clientOf("rich").messages.countTokens({ model: "say", messages })).input_tokens;
console.log(JSON.stringify(seen));
