#!/usr/bin/env node
// A client of voucherd's HTTP API. Node 18 or later, no packages. Copy it whole.
//
//   GATEWAY=https://voucherd.example TOKEN=voucherd_… node voucherd.mjs upload [--wait] FILE ORDER [REFERENCE]
//   … node voucherd.mjs wait ID
//   … node voucherd.mjs list [NAME=VALUE…]        as in list state=rejected since=24h
//   … node voucherd.mjs feed CURSORFILE           a page of what ended since the last time
//   WEBHOOK_SECRET=whsec_… node voucherd.mjs verify ID TIMESTAMP SIGNATURE <BODY

import { createHmac, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

const FINAL = ['delivered', 'rejected', 'expired', 'discarded'];
const PAUSES = [500, 1000, 2000, 4000, 8000, 0]; // milliseconds between tries
const TOLERANCE = 300; // seconds that a webhook's time may be off

export class Voucherd {
  constructor(gateway, token) {
    this.gateway = gateway.replace(/\/$/, '');
    this.token = token;
  }

  // upload enqueues a voucher, a Buffer, and gives its upload. orderId is text: a JavaScript number cannot hold 19
  // digits. fields are reference, userId, account, again, replace and reason, all text.
  upload(voucher, orderId, fields = {}) {
    const form = new FormData();
    for (const [name, value] of Object.entries({ orderId, ...fields })) form.set(name, value);
    form.set('voucher', new Blob([voucher]), 'voucher');
    return this.#call('/v1/uploads', { method: 'POST', body: form });
  }

  get(id) {
    return this.#call(`/v1/uploads/${encodeURIComponent(id)}`);
  }

  // wait gives the upload once it has ended. While PandaPon's API is away, that can take days.
  async wait(id) {
    for (;;) {
      const found = await this.get(id);
      if (FINAL.includes(found.state)) return found;
      await sleep(2000);
    }
  }

  // list gives uploads one by one, newest first: by state, orderId, requestId, code, account, since.
  async *list(filters = {}) {
    for (let cursor; cursor !== ''; ) {
      const page = await this.#call(`/v1/uploads?${new URLSearchParams(cursor ? { ...filters, cursor } : filters)}`);
      yield* page.uploads;
      cursor = page.cursor ?? '';
    }
  }

  // events gives the events after a cursor, and the cursor to go on from. It waits for the first one. Deal with the
  // events, then keep the cursor. An event may come again, with the same id.
  events(after = '', wait = '30s') {
    return this.#call(`/v1/events?${new URLSearchParams({ after, wait })}`);
  }

  // #call gives the answer. It tries again what may pass by itself. That is safe for uploads too: the same voucher for
  // the same order is the same upload.
  async #call(path, options = {}) {
    let failure;
    for (const pause of PAUSES) {
      try {
        const answer = await fetch(this.gateway + path, {
          ...options,
          headers: { Authorization: `Bearer ${this.token}` },
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
}

// detail says why a call was refused, if voucherd says it and not a proxy before it.
function detail(text) {
  try {
    return JSON.parse(text).detail;
  } catch {
    return text.slice(0, 200);
  }
}

// verify gives the event of a webhook, or throws when it is not voucherd's. headers are the request's, with names in
// lower case, as Node has them; body is its body as it came, a Buffer.
export function verify(secret, headers, body) {
  const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature } = headers;
  if (!/^\d+$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE) {
    throw new Error("the webhook's time is off");
  }
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const mac = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64');
  const want = Buffer.from(`v1,${mac}`);
  const fits = (given) => given.length === want.length && timingSafeEqual(given, want);
  if (!String(signature).split(' ').some((s) => fits(Buffer.from(s)))) {
    throw new Error("the webhook's signature is wrong");
  }
  return JSON.parse(body);
}

// follow prints a page of events, and then keeps the cursor in a file.
async function follow(client, file) {
  const after = await readFile(file, 'utf8').catch((error) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  const { events, cursor } = await client.events(after.trim());
  for (const event of events) show(event);
  await writeFile(`${file}.new`, cursor);
  await rename(`${file}.new`, file);
}

function show(event) {
  console.log([event.id, event.type, event.data.id ?? ''].join('\t'));
}

const USAGE = `usage: voucherd.mjs upload [--wait] FILE ORDER [REFERENCE]
       voucherd.mjs wait ID | list [NAME=VALUE…] | feed CURSORFILE
       voucherd.mjs verify ID TIMESTAMP SIGNATURE <BODY`;

// main gives the exit code.
async function main(command, ...args) {
  const { GATEWAY, TOKEN, WEBHOOK_SECRET } = process.env;
  if (command === 'verify' && args.length === 3 && WEBHOOK_SECRET) {
    const [id, timestamp, signature] = args;
    const headers = { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature };
    show(verify(WEBHOOK_SECRET, headers, readFileSync(0)));
    return 0;
  }
  const client = GATEWAY && TOKEN && new Voucherd(GATEWAY, TOKEN);
  const waits = command === 'upload' && args[0] === '--wait';
  if (waits) args.shift();
  let id;
  if (client && command === 'upload' && [2, 3].includes(args.length)) {
    ({ id } = await client.upload(await readFile(args[0]), args[1], { reference: args[2] ?? '' }));
    console.log(id);
    if (!waits) return 0;
  } else if (client && command === 'wait' && args.length === 1) {
    [id] = args;
  } else if (client && command === 'list') {
    const filters = args.map((a) => [a.split('=', 1)[0], a.slice(a.indexOf('=') + 1)]);
    for await (const u of client.list(Object.fromEntries(filters))) {
      console.log([u.id, u.state, u.orderId].join('\t'));
    }
    return 0;
  } else if (client && command === 'feed' && args.length === 1) {
    await follow(client, args[0]);
    return 0;
  } else {
    console.error(USAGE);
    return 2;
  }
  const { state } = await client.wait(id);
  console.log(state);
  return state === 'delivered' ? 0 : 4;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    process.exitCode = await main(...process.argv.slice(2));
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
