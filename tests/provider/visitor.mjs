// A browser without a window: follows redirects and keeps cookies, one jar for one person.

const MOST_HOPS = 20;

export function visitor() {
  const jar = new Map();
  return {
    /** Goes where an address leads, redirects included; the page it ends at, and every address on the way. */
    async visit(address) {
      const way = [];
      for (let url = new URL(address); way.length < MOST_HOPS;) {
        way.push(url.href);
        const cookies = [...jar].filter(([at]) => at.startsWith(`${url.host} `)).map(([, pair]) => pair);
        const page = await fetch(url, { redirect: "manual", headers: { cookie: cookies.join("; ") } });
        for (const line of page.headers.getSetCookie()) {
          const pair = line.split(";")[0];
          jar.set(`${url.host} ${pair.split("=")[0]}`, pair);
        }
        const next = page.headers.get("location");
        if (!next) return { way, status: page.status, headers: page.headers, text: await page.text() };
        url = new URL(next, url);
      }
      throw new Error(`the redirects go on and on:\n${way.join("\n")}`);
    },
  };
}
