import type { Page } from "@playwright/test";
import { expect, open, test, unique } from "./fixtures";
import { MODEL, sampleEvent, type Tollgate } from "./tollgate";

/** Delivers something that cannot be charged, and returns its user. */
async function deliverDoubtful(tollgate: Tollgate, data: Record<string, unknown>): Promise<string> {
  const user = unique("user");
  const answer = await tollgate.deliver(
    sampleEvent({ message_id: unique("msg"), user_id: user, model_name: MODEL, ...data }),
  );
  expect(answer).toMatchObject({ status: 202, body: { data: { status: "quarantined" } } });
  return user;
}

function rowOf(page: Page, user: string) {
  return page.getByRole("row").filter({ hasText: user });
}

async function openMessage(page: Page, user: string): Promise<void> {
  await open(page, "/admin/quarantine");
  await rowOf(page, user).getByRole("link", { name: /^Open / }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("A message that waits");
}

function notice(page: Page) {
  return page.locator(".notice-text");
}

test("a message of an unknown model leads to its price, and is charged by it", async ({
  adminPage: page,
  tollgate,
}) => {
  const model = unique("unpriced");
  const user = await deliverDoubtful(tollgate, { model_name: model });
  await open(page, "/admin");
  // The navigation says that somebody should look.
  const nav = page.getByRole("navigation", { name: "Main" });
  await nav.getByRole("link", { name: /^Quarantine \d+ waiting$/ }).click();
  await expect(rowOf(page, user)).toContainText("The model has no price.");
  await rowOf(page, user).getByRole("link", { name: /^Open / }).click();
  await expect(page.getByText(`“${model}” had no price when this message happened`)).toBeVisible();
  await expect(page.getByRole("button", { name: "Charge as reported" })).toHaveCount(0);

  await page.getByRole("link", { name: `Set a price for ${model}` }).click();
  await expect(page.getByLabel("Model name")).toHaveValue(model);
  await page.getByLabel("Input, points per 1,000 tokens", { exact: true }).fill("1");
  await page.getByLabel("Output, points per 1,000 tokens", { exact: true }).fill("2");
  await page.getByRole("button", { name: "Publish price" }).click();
  await expect.poll(() => tollgate.balance(user)).toBe(-3.1);
  await nav.getByRole("link", { name: /^Quarantine/ }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Quarantine");
  await expect(rowOf(page, user)).toHaveCount(0);
});

test("a doubtful message says why, shows its body, and is charged as reported", async ({
  adminPage: page,
  tollgate,
}) => {
  const user = await deliverDoubtful(tollgate, { total_tokens: 9 });
  await openMessage(page, user);
  await expect(
    page.getByText("The sender counts 9 tokens in total, but the parts add up to 2,300."),
  ).toBeVisible();
  await expect(page.getByRole("region", { name: "Body as received" })).toContainText(
    /"data": \{\n +"conversation_id": "conv_123",/,
  );
  await expect(page.getByText("As reported, it costs 93 points")).toBeVisible();
  await page.getByRole("button", { name: "Charge as reported" }).click();
  await expect(notice(page)).toHaveText(`${user}: 93 points were charged. The balance is now −93.`);
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Quarantine");
  await expect(rowOf(page, user)).toHaveCount(0);
  expect(await tollgate.balance(user)).toBe(-93);
});

test("the numbers, the model and the user of a message are put right and charged", async ({
  adminPage: page,
  tollgate,
}) => {
  const wrong = await deliverDoubtful(tollgate, { total_tokens: 9, model_name: unique("typo") });
  const right = unique("right");
  await openMessage(page, wrong);
  await page.locator("summary").filter({ hasText: "Correct and charge" }).click();
  await page.getByLabel("User", { exact: true }).fill(right);
  await page.getByLabel("Model", { exact: true }).fill(MODEL);
  const input = page.getByLabel("Input", { exact: true });
  await input.fill("many");
  const charge = page.getByRole("button", { name: "Correct and charge" });
  await charge.click();
  await expect(input).toHaveAccessibleDescription(/number/);
  await expect(input).toBeFocused();
  await input.fill("1000");
  await page.getByLabel("Output", { exact: true }).fill("100");
  await charge.click();
  await expect(notice(page)).toHaveText(`${right}: 36 points were charged. The balance is now −36.`);
  expect(await tollgate.balance(right)).toBe(-36);
  expect(await tollgate.balance(wrong)).toBe(0);
});

test("a body that cannot be read is entered by hand", async ({ adminPage: page, tollgate }) => {
  const [user, odd] = [unique("user"), unique("odd")];
  expect((await tollgate.deliverBody(`not JSON at all: ${odd}`)).status).toBe(400);
  await open(page, "/admin/quarantine");
  await page.getByLabel("What is wrong").selectOption("The body could not be read.");
  await page.getByRole("button", { name: "Filter" }).click();
  await expect(page).toHaveURL(/reason=unreadable/);
  const rows = page.locator("tbody tr");
  await expect(rows.and(page.locator(':not([data-reason="unreadable"])'))).toHaveCount(0);
  await rows.first().getByRole("link", { name: /could not be read/ }).click();
  await expect(page.getByRole("region", { name: "Body as received" })).toContainText(odd);
  await page.getByLabel("Message", { exact: true }).fill(unique("msg"));
  await page.getByLabel("User", { exact: true }).fill(user);
  await page.getByLabel("Model", { exact: true }).fill(MODEL);
  await page.getByLabel("Output", { exact: true }).fill("1000");
  await page.getByRole("button", { name: "Correct and charge" }).click();
  await expect(notice(page)).toHaveText(`${user}: 60 points were charged. The balance is now −60.`);
});

test("a message is dismissed for a reason, and not by accident", async ({
  adminPage: page,
  tollgate,
}) => {
  const user = await deliverDoubtful(tollgate, { total_tokens: 9 });
  await openMessage(page, user);
  const address = page.url();
  const dismiss = page.getByRole("button", { name: "Dismiss", exact: true });
  await dismiss.click();
  await page.getByRole("button", { name: "Yes, dismiss" }).click();
  const reason = page.getByLabel("Reason", { exact: true });
  await expect(reason).toHaveAttribute("aria-invalid", "true");
  await reason.fill("A test call");
  await dismiss.click();
  await expect(page.getByText("This message is never charged from here")).toBeVisible();
  await page.getByRole("button", { name: "Yes, dismiss" }).click();
  await expect(notice(page)).toHaveText("The message was dismissed.");
  await expect(rowOf(page, user)).toHaveCount(0);

  await open(page, address);
  await expect(page.getByText("admin dismissed it: “A test call”")).toBeVisible();
  await expect(page.getByRole("button", { name: "Dismiss", exact: true })).toHaveCount(0);
  expect(await tollgate.balance(user)).toBe(0);
});
