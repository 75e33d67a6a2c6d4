'use strict';
// Search and sorting. Without a script the page says the same.
(() => {
  const box = document.getElementById('find');
  const told = document.getElementById('told');
  const rows = Array.from(document.querySelectorAll('#calls tbody tr'));
  const texts = rows.map((row) => row.textContent.toLowerCase());

  const search = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, at) => {
      const hit = words.every((word) => texts[at].includes(word));
      row.hidden = !hit;
      shown += hit ? 1 : 0;
    });
    told.textContent = words.length ? `${shown} of ${rows.length}` : '';
  };

  // #find=WORDS in the address searches, so that a search can be linked to.
  const fromAddress = () => {
    const found = location.hash.match(/^#find=(.*)$/);
    if (!found) return;
    try {
      box.value = decodeURIComponent(found[1]);
    } catch {
      box.value = found[1];
    }
    search();
    document.getElementById('all').scrollIntoView();
  };

  const form = document.getElementById('search');
  form.hidden = false;
  form.addEventListener('submit', (event) => event.preventDefault());
  box.addEventListener('input', search);
  window.addEventListener('hashchange', fromAddress);
  fromAddress();

  const value = (row, at, numeric) => {
    const cell = row.cells[at];
    const text = cell.dataset.value ?? cell.textContent.trim();
    return numeric ? Number(text) : text.toLowerCase();
  };
  for (const table of document.querySelectorAll('table.sortable')) {
    const heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach((head, at) => {
      if (head.dataset.kind === 'none') return;
      const numeric = head.dataset.kind === 'number';
      const button = document.createElement('button');
      button.type = 'button';
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener('click', () => {
        const descending = head.getAttribute('aria-sort') === 'ascending';
        heads.forEach((other) => other.removeAttribute('aria-sort'));
        head.setAttribute('aria-sort', descending ? 'descending' : 'ascending');
        const body = table.tBodies[0];
        const sorted = Array.from(body.rows).sort((a, b) => {
          const [left, right] = [value(a, at, numeric), value(b, at, numeric)];
          const order = numeric ? left - right : left.localeCompare(right);
          return descending ? -order : order;
        });
        body.append(...sorted);
      });
    });
  }
})();
