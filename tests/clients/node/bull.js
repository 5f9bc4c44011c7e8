// Brings jobs into each state of BullMQ 5 or 6 or Bull 4 and counts them, as the library sees them.
//
//   node bull.js VERSION URL QUEUE send COUNT NAME DATA OPTS    add jobs (DATA and OPTS are JSON)
//   node bull.js VERSION URL QUEUE flow CHILDREN                a job that waits for so many others
//   node bull.js VERSION URL QUEUE pause | resume | counts
//   node bull.js VERSION URL QUEUE promote                      bring all delayed jobs forward
//   node bull.js VERSION URL QUEUE create MAX_EVENTS            write the queue's settings
//   node bull.js VERSION URL QUEUE worker CONCURRENCY           work until told to stop
//
// All but `worker` print a JSON object in their last line. A worker prints one for every start: the
// job, since when it was ready, when it was asked for and when it was there, in ms; and one for
// every end. `send` says too how long it has taken, so much later jobs may have been ready.
//
// Jobs: `noop`; `sleep` {ms}; `hold` {file} until the file is there; `fail` {times} fails so often;
// `big` {bytes} returns so much.
"use strict";

const fs = require("node:fs");

const [version, url, name, command, ...args] = process.argv.slice(2);
const { hostname, port } = new URL(url);
const connection = { host: hostname, port: Number(port), maxRetriesPerRequest: null };
const library = { 4: "bull", 5: "bullmq5", 6: "bullmq" }[version];
const bull = require(library);

function open(settings = {}) {
  return version === "4"
    ? new bull(name, { redis: { ...connection, enableReadyCheck: false } })
    : new bull.Queue(name, { connection, ...settings });
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// When attempts have ended, from which retried jobs are ready or delayed.
const ended = new Map();

async function work(job) {
  const { ms, file, times, bytes } = job.data;
  const delay = job.opts.delay || 0;
  const first = job.attemptsMade === 0;
  const backoff = job.opts.backoff ? job.opts.backoff.delay || job.opts.backoff : 0;
  const ready = first ? job.timestamp + delay : ended.get(job.id) + backoff;
  const by = Date.now();
  console.log(JSON.stringify({ start: job.id, ready, at: job.processedOn, by }));
  try {
    if (job.name === "sleep") await sleep(ms);
    while (job.name === "hold" && !fs.existsSync(file)) await sleep(10);
    if (job.name === "fail" && job.attemptsMade < times) throw new Error("as told");
    return job.name === "big" ? "x".repeat(bytes) : "done";
  } finally {
    ended.set(job.id, Date.now());
  }
}

async function worker(concurrency) {
  const report = (job, status) =>
    console.log(JSON.stringify({ end: job.id, status, ms: job.finishedOn - job.processedOn }));
  if (version === "4") {
    const queue = open();
    queue.on("completed", (job) => report(job, "completed"));
    queue.on("failed", (job) => report(job, "failed"));
    queue.process("*", concurrency, work);
    await queue.isReady();
  } else {
    const worker = new bull.Worker(name, work, { connection, concurrency });
    worker.on("completed", (job) => report(job, "completed"));
    worker.on("failed", (job) => report(job, "failed"));
    await worker.waitUntilReady();
  }
  console.log(JSON.stringify({ worker: "ready" }));
}

async function counts(queue) {
  const states = await queue.getJobCounts();
  const told = {
    ...states,
    isPaused: await queue.isPaused(),
    workers: (await queue.getWorkers()).length,
    now: Date.now(),
  };
  told.priorities = await queue.getCountsPerPriority([...Array(11).keys()]);
  return told;
}

async function main() {
  if (command === "worker") return worker(Number(args[0]));
  const queue = open(
    command === "create" ? { streams: { events: { maxLen: Number(args[0]) } } } : {},
  );
  const began = Date.now();
  if (command === "create") await queue.waitUntilReady();
  if (command === "send") {
    const [count, job, data, opts] = [Number(args[0]), args[1], args[2], args[3]];
    const one = () => [job, JSON.parse(data || "{}"), JSON.parse(opts || "{}")];
    for (let sent = 0; sent < count; sent += 1000) {
      const batch = Array.from({ length: Math.min(1000, count - sent) }, one);
      await queue.addBulk(batch.map(([name, data, opts]) => ({ name, data, opts })));
    }
  }
  if (command === "flow") {
    const producer = new bull.FlowProducer({ connection });
    const child = () => ({ name: "noop", queueName: `${name}-children`, data: {} });
    const children = Array.from({ length: Number(args[0]) }, child);
    await producer.add({ name: "noop", queueName: name, data: {}, children });
    await producer.close();
  }
  if (command === "promote") await queue.promoteJobs();
  if (command === "pause") await queue.pause();
  if (command === "resume") await queue.resume();
  const took = Date.now() - began;
  console.log(JSON.stringify({ ...(await counts(queue)), took }));
  await queue.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
