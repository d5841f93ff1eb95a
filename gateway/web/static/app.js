// What pages can do beyond HTML: show times in this device's zone, renew themselves while they are looked at, copy ids,
// tick all, and find the search box by one key. All pages work without it.
(() => {
  'use strict';
  const live = document.getElementById('live');
  const sign = document.querySelector('.live');

  const two = (n) => String(n).padStart(2, '0');
  const clock = (d) =>
    `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ` +
    `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;

  // dress makes a part of the page that has just come from the server ready.
  const dress = (part) => {
    for (const t of part.querySelectorAll('time')) {
      const text = clock(new Date(t.dateTime));
      if ('clock' in t.dataset) t.textContent = text;
      else t.title = text;
    }
    for (const b of part.querySelectorAll('button.copy, [data-all]')) b.hidden = false;
  };

  const zone = document.querySelector('[data-zone]');
  if (zone) zone.textContent = zone.dataset.zone;
  dress(document);

  // A bulk retry at a rate goes on by itself.
  document.querySelector('form[data-goes-on] button')?.click();

  const copy = async (text) => {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const box = document.createElement('textarea'); // plain HTTP from another machine has no clipboard API
    box.value = text;
    document.body.append(box);
    box.select();
    document.execCommand('copy');
    box.remove();
  };

  document.addEventListener('click', async (e) => {
    const b = e.target.closest('button.copy');
    if (!b) return;
    await copy(b.dataset.copy);
    const before = b.textContent;
    if (before === b.dataset.done) return;
    b.textContent = b.dataset.done;
    setTimeout(() => { b.textContent = before; }, 1500);
  });

  document.addEventListener('change', (e) => {
    if (!('all' in e.target.dataset)) return;
    for (const box of e.target.form.querySelectorAll('input[name=id]')) box.checked = e.target.checked;
  });

  document.addEventListener('keydown', (e) => {
    if (e.key !== '/' || e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.target.closest('input:not([type=checkbox]), select, textarea')) return;
    const box = document.querySelector('input[name=q]');
    if (!box) return;
    e.preventDefault();
    box.focus();
    box.select();
  });

  // The live part is asked for again every few seconds, while the page is visible and nothing in it is being used.
  if (!live || !Number(live.dataset.live)) return;
  let last = '';
  let timer = 0;
  const show = (how) => {
    if (!sign) return;
    sign.hidden = false;
    sign.classList.toggle('off', how === 'stale');
    if (sign.textContent !== sign.dataset[how]) sign.textContent = sign.dataset[how];
  };
  // The address without what a user may have typed before the host: fetch takes no credentials in it.
  const here = location.origin + location.pathname + location.search;
  const inUse = () =>
    live.querySelector('input[name=id]:checked, [data-all]:checked') ||
    (getSelection().type === 'Range' && live.contains(getSelection().anchorNode));

  // spot finds the element that has the focus again in the new part: the same kind with the same address or name.
  const spot = (a) => {
    if (!a || !live.contains(a)) return null;
    for (const n of ['id', 'href', 'data-copy', 'value']) {
      const v = a.getAttribute(n);
      if (v) return `${a.tagName.toLowerCase()}[${n}="${CSS.escape(v)}"]`;
    }
    return null;
  };

  const renew = async () => {
    if (inUse()) return show('paused');
    let text;
    try {
      const answer = await fetch(here, { headers: { 'Voucherd-Live': '1' }, signal: AbortSignal.timeout(10000) });
      if (!answer.ok || answer.redirected) throw new Error(answer.statusText);
      text = await answer.text();
    } catch {
      return show('stale');
    }
    if (inUse()) return show('paused');
    if (text !== last) {
      const focus = spot(document.activeElement);
      live.innerHTML = text;
      last = text;
      dress(live);
      if (focus) live.querySelector(focus)?.focus({ preventScroll: true });
    }
    show('fresh');
  };
  const next = () => {
    clearTimeout(timer);
    if (document.visibilityState === 'visible') {
      timer = setTimeout(async () => { await renew(); next(); }, Number(live.dataset.live) * 1000);
    }
  };
  document.addEventListener('visibilitychange', async () => {
    if (document.visibilityState === 'visible') await renew();
    next();
  });
  show('fresh');
  next();
})();
