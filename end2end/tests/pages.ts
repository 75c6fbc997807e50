// Every page, as somebody sees it who has something to see there.
import type { Page } from "@playwright/test";
import { APP_KEY, DifyApp, hoursAgo } from "./dify";
import { open, unique } from "./fixtures";
import { MODEL, sampleEvent, type Tollgate } from "./tollgate";

export type Visit = {
  name: string;
  who: "nobody" | "administrator" | "user";
  path: string;
  /** What is done there before looking. */
  act?: (page: Page) => Promise<void>;
};

/** The user that the pages show. */
export const SHOWN_USER = "user_789";
/** A user whose debt shows. */
export const DEBTOR = "customer-4821-with-a-rather-long-name@example.com";

export const VISITS: Visit[] = [
  { name: "sign-in", who: "nobody", path: "/sign-in" },
  { name: "missing", who: "nobody", path: "/nowhere" },
  { name: "monitor", who: "administrator", path: "/admin" },
  { name: "prices", who: "administrator", path: "/admin/prices" },
  {
    name: "price",
    who: "administrator",
    path: `/admin/prices?model=${MODEL}`,
    act: (page) => page.locator("main details > summary").first().click(),
  },
  { name: "price-new", who: "administrator", path: "/admin/prices?new=1" },
  {
    name: "calculator",
    who: "administrator",
    path: "/admin/calculator",
    act: (page) => page.getByLabel(MODEL, { exact: true }).check(),
  },
  {
    name: "rerate",
    who: "administrator",
    path: `/admin/prices/rerate?model=${MODEL}`,
    act: async (page) => {
      await page.locator("#from").fill("2024-01-01T00:00");
      await page.locator("#to").fill("2099-01-01T00:00");
      await page.locator("#rerateVersion").selectOption({ index: 1 });
      await page.locator("main form [type=submit]").click();
      await page.locator("#rerateReason").waitFor();
    },
  },
  { name: "users", who: "administrator", path: "/admin/users" },
  { name: "user", who: "administrator", path: `/admin/users?user=${SHOWN_USER}` },
  {
    name: "user-refund",
    who: "administrator",
    path: `/admin/users?user=${SHOWN_USER}`,
    act: (page) => page.locator("main li.entry details > summary").first().click(),
  },
  { name: "user-new", who: "administrator", path: "/admin/users?user=nobody-yet" },
  { name: "sources", who: "administrator", path: "/admin/sources" },
  {
    name: "sources-message",
    who: "administrator",
    path: "/admin/sources",
    act: async (page) => {
      await page.locator("main th a[href*='message=']").first().click();
      await page.locator("[aria-labelledby=reports-title] table").waitFor();
    },
  },
  {
    name: "completeness-cost",
    who: "administrator",
    path: "/admin/sources?source=Course%20tutor",
    act: async (page) => {
      await page.locator("main .card-head [type=checkbox]").check();
      await page.locator("#modelName").selectOption(MODEL);
      await page.locator("main form [type=submit].primary").click();
      await page.locator("[aria-labelledby=cost-title] table").waitFor();
    },
  },
  {
    // Each visit charges another message.
    name: "completeness-charged",
    who: "administrator",
    path: "/admin/sources?source=Course%20tutor",
    act: async (page) => {
      await page.locator("main tbody [type=checkbox]:enabled").first().check();
      await page.locator("#modelName").selectOption(MODEL);
      await page.locator("main form [type=submit].primary").click();
      await page.locator("[aria-labelledby=cost-title] .button.danger").click();
      await page.locator("[aria-labelledby=results-title] table").waitFor();
    },
  },
  {
    name: "completeness-failed",
    who: "administrator",
    path: "/admin/sources?source=Moved%20app",
    act: async (page) => {
      await page.locator("[aria-labelledby=check-title] [type=submit]").click();
      await page.locator("[aria-labelledby=check-title] code").waitFor();
    },
  },
  { name: "quarantine", who: "administrator", path: "/admin/quarantine" },
  {
    name: "quarantine-empty",
    who: "administrator",
    path: "/admin/quarantine?reason=overflow",
  },
  {
    name: "quarantine-model",
    who: "administrator",
    path: "/admin/quarantine?reason=unknown_model",
    act: openFirst,
  },
  {
    name: "quarantine-doubtful",
    who: "administrator",
    path: "/admin/quarantine?reason=contradictory_tokens",
    act: async (page) => {
      await openFirst(page);
      await page.locator("main details > summary").click();
      await page.locator(".confirm > button").click();
    },
  },
  {
    name: "quarantine-unreadable",
    who: "administrator",
    path: "/admin/quarantine?reason=unreadable",
    act: openFirst,
  },
  { name: "not-yours", who: "user", path: "/admin" },
  {
    name: "my",
    who: "user",
    path: "/my",
    act: (page) => page.locator("main li.entry details > summary").first().click(),
  },
  {
    name: "my-affordable",
    who: "user",
    path: "/my",
    act: (page) => askForCall(page, "500"),
  },
  {
    name: "my-unaffordable",
    who: "user",
    path: "/my",
    act: (page) => askForCall(page, "50000"),
  },
];

/** Opens the first message of the list. */
async function openFirst(page: Page): Promise<void> {
  await page.locator("tbody tr td.end a").first().click();
  await page.locator("pre.body").waitFor();
}

async function askForCall(page: Page, output: string): Promise<void> {
  await page.locator("#callOutput").fill(output);
  await page.locator("#callModel").selectOption(MODEL);
  await page.locator("#callModel").locator("xpath=ancestor::form").locator("[type=submit]").click();
  await page.locator(".protection .actions button").first().waitFor();
}

/** Fills a Tollgate with something of everything that pages can show. */
export async function furnish(tollgate: Tollgate): Promise<void> {
  await tollgate.setPrice("claude-sonnet", "22.5", "112.5");
  await tollgate.setPrice("text-embedding-3-large", "0.013", "0");
  await tollgate.setPrice(MODEL, "28", "60");
  await tollgate.setPrice(MODEL, "30", "60");
  await tollgate.addPoints(SHOWN_USER, "1000");
  const deliver = (data: Record<string, unknown>) =>
    tollgate.deliver(sampleEvent({ message_id: unique("msg"), timestamp: undefined, ...data }));
  const first = { message_id: unique("msg") };
  await deliver(first);
  await deliver(first);
  await deliver({ ...first, output_tokens: 1, total_tokens: undefined });
  await deliver({ model_name: "claude-sonnet", input_tokens: 1234, output_tokens: 567, total_tokens: 1801 });
  await deliver({ model_name: "a-model-nobody-priced-yet", user_id: DEBTOR });
  await deliver({ total_tokens: 9 });
  await deliver({ input_tokens: -1 });
  await deliver({ user_id: DEBTOR });
  await tollgate.deliverBody('{"event": "message_end", "data": {"user_id": "user_789", ');
  await tollgate.hold(SHOWN_USER, MODEL, 500);

  const forShownUser = ["--user", SHOWN_USER, "--reason"];
  await tollgate.command([
    ...["points", "add", ...forShownUser, "Package A", "--points", "500"],
    ...["--bought", "--expires", "2099-12-31T16:00:00Z"],
  ]);
  await tollgate.command([
    ...["points", "refund", ...forShownUser, "The answer was cut off"],
    ...["--entry", "2", "--points", "10.5"],
  ]);
  const upstream = ["--upstream", "https://dify.example.com/v1", "--upstream-key", "app-secret"];
  await tollgate.createSource("--name", "Support bot", "--entrance", "gateway", ...upstream);
  const nobody = ["--upstream", "http://127.0.0.1:9/v1", "--upstream-key", "app-secret"];
  await tollgate.createSource("--name", "Moved app", "--entrance", "gateway", ...nobody);
  await furnishCompleteness(tollgate);
  await tollgate.createSource("--name", "Old relay", "--entrance", "webhook");
  await tollgate.command(["source", "revoke", "Old relay"]);
  const traces = await tollgate.createSource("--name", "Dify traces", "--entrance", "langfuse");
  const used = { model: MODEL, input: 1500, output: 790 };
  await tollgate.trace(traces.enter, { ...used, id: first.message_id, user: SHOWN_USER });
  await tollgate.command([
    ...["rerate", "--from", "2020-01-01", "--to", "2099-01-01", "--price", `${MODEL}@1`],
    ...["--apply", "--reason", "The price list was wrong"],
  ]);
}

/** An app of which some messages never arrived. */
async function furnishCompleteness(tollgate: Tollgate): Promise<void> {
  const app = await DifyApp.start("chat");
  const upstream = ["--upstream", app.url, "--upstream-key", APP_KEY];
  const source = "Course tutor";
  await tollgate.createSource("--name", source, "--entrance", "gateway", ...upstream);
  for (let day = 0; day < 6; day++) {
    for (let number = 0; number < 4; number++) {
      const { id, user, tokens } = app.serve("student-17", { at: hoursAgo(day * 24 + 2) });
      const { input, output } = tokens ?? { input: 0, output: 0 };
      // The others never arrive.
      if (number > day % 3) continue;
      const used = { input_tokens: input, output_tokens: output, total_tokens: input + output };
      const event = sampleEvent({ ...used, message_id: id, user_id: user, timestamp: undefined });
      await tollgate.deliver(event);
    }
  }
  app.serve(DEBTOR, { conversation: "3f0c5c52-9e0b-4a52-8a39-6a54a2a5f9d1-" + "0".repeat(60) });
  app.serve(DEBTOR, { id: "7a1d1c3e-".repeat(9), tokens: undefined });
  const users = ["--user", "student-17", "--user", DEBTOR];
  await tollgate.command(["completeness", "--source", source, ...users]);
  await app.stop();
}

/** Goes there and does what is done there. */
export async function visit(page: Page, { path, act }: Visit): Promise<void> {
  await open(page, path);
  await act?.(page);
}
