// What every test gets: a Tollgate, and pages that must not complain.
import { AxeBuilder } from "@axe-core/playwright";
import { test as base, expect, type BrowserContext, type Page } from "@playwright/test";
import { ADMINISTRATOR, MODEL, Tollgate } from "./tollgate";

export type Look = { locale: "en" | "zh"; theme: "light" | "dark"; width: number };

type TestFixtures = {
  /** Console messages that this test provokes; all others fail it. */
  expectedComplaints: RegExp[];
  complaints: void;
  /** The page, signed in as administrator. */
  adminPage: Page;
  /** Has pages look like this from their next load on. */
  setLook: (look: Look) => Promise<void>;
};

type WorkerFixtures = {
  tollgate: Tollgate;
  adminCookies: Parameters<BrowserContext["addCookies"]>[0];
};

export const test = base.extend<TestFixtures, WorkerFixtures>({
  tollgate: [
    async ({}, use) => {
      const tollgate = await Tollgate.start();
      try {
        await tollgate.setPrice(MODEL, "30", "60");
        await use(tollgate);
      } finally {
        await tollgate.remove();
      }
    },
    { scope: "worker", timeout: 120_000 },
  ],

  baseURL: async ({ tollgate }, use) => {
    await use(tollgate.url);
  },

  // Signing in hashes a password, which is slow on purpose: once per worker is enough.
  adminCookies: [
    async ({ tollgate, browser }, use) => {
      const context = await browser.newContext({ baseURL: tollgate.url, locale: "en-GB" });
      const page = await context.newPage();
      await signIn(page);
      await use(await context.cookies());
      await context.close();
    },
    { scope: "worker", timeout: 60_000 },
  ],

  adminPage: async ({ page, adminCookies }, use) => {
    await page.context().addCookies(adminCookies);
    await use(page);
  },

  setLook: async ({ page, tollgate }, use) => {
    await use(async ({ locale, theme, width }) => {
      await page.context().addCookies([
        { name: "lang", value: locale, url: tollgate.url },
        { name: "theme", value: theme, url: tollgate.url },
      ]);
      await page.setViewportSize({ width, height: 900 });
    });
  },

  expectedComplaints: [[], { option: true }],

  // A page that logs an error or a warning is broken, whatever it looks like; failed hydration is
  // told in this way only.
  complaints: [
    async ({ context, expectedComplaints }, use) => {
      const complaints: string[] = [];
      const note = (text: string) => {
        if (!expectedComplaints.some((expected) => expected.test(text))) complaints.push(text);
      };
      context.on("console", (message) => {
        if (["error", "warning", "assert"].includes(message.type())) {
          note(`${message.type()}: ${message.text()} (${message.location().url})`);
        }
      });
      context.on("weberror", (error) => note(`exception: ${error.error()}`));
      await use();
      expect(complaints, "what the browser's console says").toEqual([]);
    },
    { auto: true },
  ],
});

export { expect };

/** Goes to a page and waits until it can be used. */
export async function open(page: Page, path: string): Promise<void> {
  await page.goto(path);
  await hydrated(page);
}

export async function hydrated(page: Page): Promise<void> {
  await page.locator('html[data-hydrated="true"]').waitFor({ state: "attached" });
}

/** Fills in the sign-in form and submits it. */
export async function submitSignIn(page: Page, password: string): Promise<void> {
  await page.getByLabel("Name").fill(ADMINISTRATOR.name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

export async function signIn(page: Page): Promise<void> {
  await open(page, "/sign-in");
  await submitSignIn(page, ADMINISTRATOR.password);
  await page.waitForURL("**/admin");
  await hydrated(page);
}

/** A name that no other test uses. */
export function unique(prefix: string): string {
  return `${prefix}_${Date.now().toString(36)}${Math.random().toString(36).slice(2, 8)}`;
}

/** Accessibility violations that shut people out. */
export async function seriousViolations(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target} ${node.html}`));
}

/** How far the page sticks out sideways, in pixels. */
export function overflow(page: Page): Promise<number> {
  return page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
}
