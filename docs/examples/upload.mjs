#!/usr/bin/env node
// Enqueues a payment voucher and prints the upload's id. Node 18 or later, no packages.
//
//   GATEWAY=https://voucherd.example TOKEN=voucherd_… node upload.mjs [--wait] FILE ORDER [REFERENCE]

import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const { GATEWAY, TOKEN } = process.env;
const FINAL = ['delivered', 'rejected', 'expired', 'discarded'];

// call gives the answer. It tries again what may pass by itself. That is safe for uploads too: the same voucher for the
// same order is the same upload.
async function call(path, options = {}) {
  let failure;
  for (const pause of [500, 1000, 2000, 4000, 8000, 0]) {
    try {
      const answer = await fetch(GATEWAY.replace(/\/$/, '') + path, {
        ...options,
        headers: { Authorization: `Bearer ${TOKEN}` },
        signal: AbortSignal.timeout(60_000),
      });
      const text = await answer.text();
      if (answer.ok) return JSON.parse(text);
      failure = new Error(`refused with HTTP ${answer.status}: ${detail(text)}`);
      if (![503, 507].includes(answer.status)) break;
    } catch (error) {
      failure = new Error(`no answer: ${error.cause?.message ?? error.message}`);
    }
    if (pause) await sleep(pause);
  }
  throw failure;
}

// detail says why a call was refused, if voucherd says it and not a proxy before it.
function detail(text) {
  try {
    return JSON.parse(text).detail;
  } catch {
    return text.slice(0, 200);
  }
}

async function upload(file, orderId, reference = '') {
  const form = new FormData();
  form.set('orderId', orderId); // text: a JavaScript number cannot hold 19 digits
  form.set('reference', reference);
  form.set('voucher', new Blob([await readFile(file)]), 'voucher');
  return call('/v1/uploads', { method: 'POST', body: form });
}

async function wait(id) {
  for (;;) {
    const { state } = await call(`/v1/uploads/${id}`);
    if (FINAL.includes(state)) return state;
    await sleep(2000);
  }
}

const args = process.argv.slice(2);
const waits = args[0] === '--wait';
if (waits) args.shift();
if (!GATEWAY || !TOKEN || args.length < 2 || args.length > 3) {
  console.error('usage: GATEWAY=… TOKEN=… node upload.mjs [--wait] FILE ORDER [REFERENCE]');
  process.exit(2);
}
try {
  const { id } = await upload(...args);
  console.log(id);
  if (waits) {
    const state = await wait(id);
    console.log(state);
    process.exitCode = state === 'delivered' ? 0 : 4;
  }
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
