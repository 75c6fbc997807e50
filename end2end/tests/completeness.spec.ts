import type { Page } from "@playwright/test";
import { APP_KEY, DifyApp } from "./dify";
import { expect, open, test, unique } from "./fixtures";
import { MODEL, type Tollgate } from "./tollgate";

/** An app of Dify, and the source in front of it. */
async function connect(tollgate: Tollgate, kind: "chat" | "workflow", ...options: string[]) {
  const app = await DifyApp.start(kind);
  const name = unique(kind);
  const upstream = ["--upstream", app.url, "--upstream-key", APP_KEY, ...options];
  const { key } = await tollgate.createSource("--name", name, "--entrance", "gateway", ...upstream);
  return { app, name, key };
}

function row(page: Page, table: string, text: string) {
  return page.getByRole("table", { name: table }).getByRole("row").filter({ hasText: text });
}

test("what never arrived is found, charged after a look, and missing no longer", async ({
  adminPage: page,
  tollgate,
}) => {
  const { app, name, key } = await connect(tollgate, "chat", "--model", MODEL);
  const user = unique("user");
  await tollgate.addPoints(user, "1000");
  // One call comes through the gateway, the others behind its back. A call costs 60 points.
  const called = await fetch(`${tollgate.url}/v1/chat-messages`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ inputs: {}, query: "hello", user, response_mode: "blocking" }),
  });
  expect(called.status, await called.text()).toBe(200);
  await expect.poll(() => tollgate.balance(user)).toBe(940);
  const first = app.serve(user);
  const second = app.serve(user);
  const old = app.serve(user, { tokens: undefined });

  await open(page, "/admin/sources");
  await row(page, "Sources", name).getByRole("link", { name: "Completeness" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(name);
  const check = page.getByRole("button", { name: "Check now" });
  await page.getByLabel("Look back").selectOption("30 days");
  await check.click();
  await expect(page.getByText("25.0 % of what Dify served arrived")).toBeVisible();
  await expect(page.getByRole("img", { name: "Day by day" })).toBeVisible();
  const missing = (id: string) => row(page, "Missing", id);
  await expect(missing(first.id)).toContainText(`${first.conversation}${user}`);
  await expect(missing(first.id)).toContainText("1,000 + 500");
  await expect(missing(old.id).getByRole("checkbox")).toBeDisabled();
  await expect(missing(old.id)).toContainText("Not reported by Dify");
  expect(await tollgate.balance(user), "nothing is charged unasked").toBe(940);

  await missing(first.id).getByRole("checkbox").check();
  await page.getByRole("button", { name: "See the cost of 1" }).click();
  const cost = row(page, "What would be charged", user);
  await expect(cost).toHaveText(`${user}160`);
  // What is confirmed is what was shown.
  await page.getByLabel("All 2 that can be charged").check();
  await expect(missing(second.id).getByRole("checkbox")).toBeChecked();
  await expect(cost).toHaveCount(0);
  await page.getByRole("button", { name: "See the cost of 2" }).click();
  await expect(cost).toHaveText(`${user}2120`);
  await page.getByRole("button", { name: "Charge" }).click();

  await expect(page.locator(".notice-text")).toHaveText("2 of 2 messages charged, 120 points in all.");
  await expect(row(page, "Outcome", first.id)).toContainText(/Charged60(880|820)$/);
  await expect(missing(first.id)).toHaveCount(0);
  await expect(missing(old.id)).toHaveCount(1);
  expect(await tollgate.balance(user)).toBe(820);
  await check.click();
  await expect(page.getByText("75.0 % of what Dify served arrived")).toBeVisible();

  app.refusal = 503;
  await check.click();
  await expect(page.getByText("The latest attempt failed")).toBeVisible();
  await expect(page.getByText("answers 503 Service Unavailable")).toBeVisible();
  await expect(page.getByText("75.0 % of what Dify served arrived"), "what was known stays").toBeVisible();

  await page.getByRole("main").getByRole("link", { name: "Sources" }).click();
  await expect(row(page, "Sources", name)).toContainText("Completeness 75.0 % Missing 1 Failed");
  await app.stop();

  // The user's account leads back to who reported the charge.
  await open(page, `/admin/users?user=${user}`);
  await page.locator("li.entry details > summary").first().click();
  await page.getByRole("link", { name: "Who reported this message" }).first().click();
  await expect(page.getByRole("table", { name: "Who reported a message" })).toContainText(name);
});

test("a model has to be chosen where none is known, and what has no price waits", async ({
  adminPage: page,
  tollgate,
}) => {
  const { app, name } = await connect(tollgate, "workflow");
  const [user, late] = [unique("user"), unique("priced-later")];
  const run = app.serve(user);
  await tollgate.command([
    ...["price", "set", "--model", late, "--input", "1", "--output", "1"],
    ...["--from", "2099-01-01T00:00:00Z"],
  ]);
  await open(page, `/admin/sources?source=${name}`);
  await page.getByRole("button", { name: "Check now" }).click();
  const missing = row(page, "Missing", run.id);
  await expect(missing).toContainText("1,500 in all");
  await missing.getByRole("checkbox").check();
  const cost = page.getByRole("button", { name: "See the cost of 1" });
  await cost.click();
  const model = page.getByLabel("Model", { exact: true });
  await expect(model).toHaveAttribute("aria-invalid", "true");
  await expect(model).toBeFocused();

  await model.selectOption(late);
  await cost.click();
  await expect(page.getByText(`1 of them happened when ${late} had no price`)).toBeVisible();
  await page.getByRole("button", { name: "Charge" }).click();
  const result = row(page, "Outcome", run.id);
  await expect(result).toContainText("Waiting");
  await expect(page.getByText("Nothing is missing.")).toBeVisible();
  expect(await tollgate.balance(user)).toBe(0);
  await app.stop();
});

test("a source that is no longer in use is not found", async ({ adminPage: page }) => {
  await open(page, "/admin/sources?source=nobody");
  await expect(page.getByRole("alert")).toContainText("This did not work");
});
