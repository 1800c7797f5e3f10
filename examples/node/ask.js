// Asks GenAI Spine for a summary of each item and joins the answers by key.
//
//     (cd examples/node && npm install)
//     node examples/node/ask.js 127.0.0.1:9092 examples/feedspine/items.jsonl
//
// Items are JSON Lines with `key` and `text`. Writes one JSON line an item, when all of them are answered; exit code 1 if that
// takes longer than five minutes.

import { createHash, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import process from "node:process";
import { Kafka, logLevel, Partitioners } from "kafkajs";

const REQUESTS = "genai.requests.summarize";
const RESULTS = "genai.results";
const TENANT = "examples-node";
const PATIENCE_MS = 5 * 60 * 1000;

// One request an item, by the item's key. The id is made of the text too: a changed text is another request.
function requestsOf(path) {
  const items = readFileSync(path, "utf8").split("\n").filter((line) => line.trim()).map((line) => JSON.parse(line));
  return new Map(items.map(({ key, text }) => {
    const digest = createHash("sha256").update(text).digest("hex").slice(0, 12);
    return [key, { id: `${key}@${digest}`, tenant: TENANT, input: { content: text, max_sentences: 1 } }];
  }));
}

async function send(kafka, requests) {
  const producer = kafka.producer({ idempotent: true, createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  const messages = [...requests].map(([key, request]) => ({ key, value: JSON.stringify(request) }));
  await producer.send({ topic: REQUESTS, messages, acks: -1 });
  await producer.disconnect();
}

const identity = ({ tenant, operation, id }) => JSON.stringify([tenant, operation, id]);

// The topic repeats, and a redriven request has one result per generation: the highest one counts.
function fold(best, result) {
  const old = best.get(identity(result));
  if (old === undefined || result.generation > old.generation) best.set(identity(result), result);
}

// Reads the results from their start, in a group that nobody else is in: what was there before is whole before anything is
// written. Resolves to the results by identity, or to undefined when time is up.
async function join(kafka, requests) {
  const admin = kafka.admin();
  await admin.connect();
  const behind = new Map((await admin.fetchTopicOffsets(RESULTS)).filter(({ high, low }) => Number(high) > Number(low))
    .map(({ partition, high }) => [partition, Number(high) - 1]));
  await admin.disconnect();

  const wanted = [...requests.values()].map(({ id }) => identity({ tenant: TENANT, operation: "summarize", id }));
  const best = new Map();
  const consumer = kafka.consumer({ groupId: `genai-spine-example-${randomUUID()}` });
  await consumer.connect();
  await consumer.subscribe({ topic: RESULTS, fromBeginning: true });
  try {
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => resolve(undefined), PATIENCE_MS);
      const done = () => {
        if (behind.size === 0 && wanted.every((one) => best.has(one))) {
          clearTimeout(timer);
          resolve(best);
        }
      };
      consumer.run({
        eachMessage: async ({ partition, message }) => {
          if (message.key !== null && requests.has(message.key.toString())) fold(best, JSON.parse(message.value));
          if (Number(message.offset) >= behind.get(partition)) behind.delete(partition);
          done();
        },
      }).catch(reject);
    });
  } finally {
    await consumer.disconnect();
  }
}

// A failure is a result too, and says why.
function write(requests, best) {
  for (const [key, { id }] of requests) {
    const { status, output, error, usage } = best.get(identity({ tenant: TENANT, operation: "summarize", id }));
    console.log(JSON.stringify({ key, status, summary: output?.summary ?? null, error, cost_usd: usage.cost_usd }));
  }
}

const [brokers, items] = process.argv.slice(2);
if (items === undefined) {
  console.error("Usage: node ask.js BROKERS ITEMS.jsonl");
  process.exit(2);
}
const kafka = new Kafka({ clientId: "genai-spine-example", brokers: brokers.split(","), logLevel: logLevel.ERROR });
const requests = requestsOf(items);
await send(kafka, requests);
const best = await join(kafka, requests);
if (best === undefined) {
  console.error("Not all items were answered in time; run this again, what was answered costs nothing.");
  process.exit(1);
}
write(requests, best);
