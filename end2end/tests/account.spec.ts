import type { Page } from "@playwright/test";
import { expect, hydrated, open, test, unique } from "./fixtures";
import { MODEL, sampleEvent } from "./tollgate";

function entry(page: Page, text: string | RegExp) {
  return page.locator("li.entry").filter({ hasText: text });
}

test.describe("with terms that only the server can refuse", () => {
  // A browser reports an answer with an error status as an error of the page.
  test.use({ expectedComplaints: [/the server responded with a status of 422/] });

  test("points cannot have run out already", async ({ adminPage: page }) => {
    await open(page, `/admin/users?user=${unique("user")}`);
    await page.getByLabel("Points", { exact: true }).fill("10");
    await page.getByLabel("Reason").fill("Too late");
    await page.getByLabel("Good until").fill("2020-01-01T00:00");
    await page.getByRole("button", { name: "Add points" }).click();
    await expect(page.getByLabel("Good until")).toHaveAttribute("aria-invalid", "true");
    await expect(page.getByTestId("balance")).toHaveText("0");
  });
});

test("points are given with terms, and everybody sees until when they are good", async ({
  adminPage: page,
  browser,
  tollgate,
}) => {
  const user = unique("user");
  await open(page, `/admin/users?user=${user}`);
  const points = page.getByLabel("Points", { exact: true });
  await points.fill("10");
  await page.getByLabel("Good until").fill("2099-12-31T18:30");
  await page.getByLabel("Bought").check();
  await page.getByLabel("Reason").fill("Package A");
  await page.getByRole("button", { name: "Add points" }).click();
  await expect(page.getByTestId("balance")).toHaveText("10");
  await points.fill("5");
  await page.getByLabel("Granted").check();
  await page.getByLabel("Reason").fill("Welcome");
  await page.getByRole("button", { name: "Add points" }).click();
  await expect(page.getByTestId("balance")).toHaveText("15");
  const credits = page.getByRole("table", { name: "What the balance is made of" });
  await expect(credits.getByRole("row")).toHaveText([
    /Where they come from/,
    /^Bought Entry 1\s*2099-12-31 18:30:00\s*10\s*10$/,
    /^Granted Entry 2\s*For ever\s*5\s*5$/,
  ]);

  const context = await browser.newContext({ locale: "en-GB", timezoneId: "Asia/Shanghai" });
  const theirs = await context.newPage();
  await open(theirs, await tollgate.signInLink(user));
  await expect(theirs.getByTestId("expiring")).toHaveText("10 points are good until 2099-12-31 18:30:00");
  await context.close();
});

test("a charge is given back in parts, never more than it took", async ({
  adminPage: page,
  browser,
  tollgate,
}) => {
  const user = unique("user");
  await tollgate.addPoints(user, "100");
  await tollgate.deliver(sampleEvent({ message_id: unique("msg"), user_id: user, model_name: MODEL }));
  await open(page, `/admin/users?user=${user}`);
  const charge = entry(page, MODEL).filter({ hasText: "Charge" });
  const refund = async (points: string | undefined, reason: string) => {
    if (points !== undefined) await charge.getByLabel("Points to give back").fill(points);
    await charge.getByLabel("Reason").fill(reason);
    await charge.getByRole("button", { name: "Refund" }).click();
  };
  await charge.getByText("Receipt").click();
  await refund("93.5", "Too much");
  await expect(charge.getByLabel("Points to give back")).toHaveAttribute("aria-invalid", "true");
  await charge.getByLabel("Points to give back").fill("3");
  await charge.getByRole("button", { name: "Refund" }).click();
  await expect(page.getByTestId("balance")).toHaveText("10");
  const back = entry(page, "Too much");
  await expect(back).toContainText("Refund");
  await expect(back).toContainText("+3");
  await expect(back).toContainText(`of entry 2, ${MODEL}: −93 points`);

  await expect(charge).toContainText("90 points of this charge can still be given back.");
  await refund(undefined, "All of it");
  await expect(page.getByTestId("balance")).toHaveText("100");
  await expect(charge).toContainText("All of this charge was given back.");

  // The user sees the entries, and no button to make more.
  const context = await browser.newContext({ locale: "en-GB" });
  const theirs = await context.newPage();
  await open(theirs, await tollgate.signInLink(user));
  await expect(entry(theirs, "All of it")).toContainText(`of entry 2, ${MODEL}: −93 points`);
  await entry(theirs, "Receipt").getByText("Receipt").click();
  await expect(theirs.getByText("ledger took exactly that")).toBeVisible();
  await expect(theirs.getByRole("button", { name: "Refund" })).toHaveCount(0);
  await context.close();
});

test("an overdraft limit lets calls go below zero, and holds show while a call is under way", async ({
  adminPage: page,
  tollgate,
}) => {
  const user = unique("user");
  await open(page, `/admin/users?user=${user}`);
  await expect(page.getByText("No call is under way.")).toBeVisible();
  const limit = page.getByLabel("Points below zero");
  await limit.fill("-5");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(limit).toHaveAttribute("aria-invalid", "true");
  await limit.fill("50");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.locator(".notice-text")).toHaveText(`${user}: the overdraft limit is now 50 points.`);

  // 1,000 tokens in cost 30.
  await tollgate.hold(user, MODEL, 1000);
  await page.reload();
  await hydrated(page);
  await expect(limit).toHaveValue("50");
  await expect(page.getByTestId("available")).toHaveText("−30");
  const holds = page.getByRole("table", { name: "On hold for calls under way" });
  await expect(holds.getByRole("row").nth(1)).toContainText(new RegExp(`${MODEL}.*30$`));
});

test("a sign-in link is good for as long as was chosen", async ({ adminPage: page }) => {
  await open(page, `/admin/users?user=${unique("user")}`);
  const until = page.locator("time").last();
  for (const [life, hours] of [["1 hour", 1], ["8 hours", 8], ["1 day", 24]] as const) {
    await page.getByLabel("Good for").selectOption(life);
    await page.getByRole("button", { name: "Create a sign-in link" }).click();
    await expect(page.getByLabel("Sign-in link for this user")).toHaveValue(/\/enter\?token=/);
    await expect
      .poll(async () => Date.parse((await until.getAttribute("datetime")) ?? "") - Date.now())
      .toBeGreaterThan((hours - 0.1) * 3_600_000);
    const left = Date.parse((await until.getAttribute("datetime")) ?? "") - Date.now();
    expect(left).toBeLessThan((hours + 0.1) * 3_600_000);
  }
});
