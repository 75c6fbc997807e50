import { expect, open, test, unique } from "./fixtures";
import { sampleEvent } from "./tollgate";

test("from a price to a charge that the administrator and the user see", async ({
  adminPage: page,
  browser,
  tollgate,
}) => {
  const [model, user, message] = [unique("Model"), unique("user"), unique("msg")];
  const event = sampleEvent({ message_id: message, user_id: user, model_name: model.toLowerCase() });
  await tollgate.addPoints(user, "1000");

  // The administrator sets a price.
  await open(page, "/admin/prices");
  await page.getByRole("link", { name: "Add a model" }).click();
  await page.getByLabel("Model name").fill(model);
  await page.getByLabel("Input, points per 1,000 tokens", { exact: true }).fill("30");
  await page.getByLabel("Output, points per 1,000 tokens", { exact: true }).fill("60");
  await page.getByRole("button", { name: "Publish price" }).click();
  await expect(page.getByRole("status").filter({ hasText: model })).toHaveText(
    `${model}: version 1 is published.`,
  );
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(`Price of ${model}`);

  // The monitor is open when the event comes, and shows it without being loaded again.
  await page.getByRole("link", { name: "Monitor" }).click();
  await expect(page.getByTestId("connection")).toHaveText("Live");
  await page.evaluate(() => Object.assign(window, { notReloaded: true }));
  const answer = await tollgate.deliver(event);
  expect(answer).toMatchObject({
    status: 200,
    body: {
      success: true,
      message: "Token consumption processed successfully",
      data: {
        status: "charged",
        pointsDeducted: 93,
        pointsDeductedNano: "93000000000",
        tokensUsed: 2300,
        balance: 907,
      },
    },
  });
  const row = page.getByRole("row").filter({ hasText: user });
  await expect(row).toHaveCount(1);
  await expect(row.getByRole("cell")).toHaveText([
    /.*/,
    "Charged",
    user,
    model.toLowerCase(),
    "1,500 / 800",
    "93",
    "907",
    "end2end",
  ]);
  expect(await page.evaluate(() => "notReloaded" in window)).toBe(true);

  // The same again takes nothing, and shows that it came.
  expect((await tollgate.deliver(event)).body.data).toMatchObject({
    status: "duplicate",
    pointsDeducted: 93,
    balance: 907,
  });
  await expect(row.filter({ hasText: "Duplicate" })).toHaveCount(1);
  // The same with other numbers is refused.
  const other = sampleEvent({ ...event.data, output_tokens: 1, total_tokens: 1501 });
  expect(await tollgate.deliver(other)).toMatchObject({
    status: 409,
    body: { error: { code: "message_conflict" } },
  });
  await expect(row.filter({ hasText: "Conflict" })).toHaveCount(1);

  // The user sees 93 points gone, and a receipt that their browser computed again.
  const context = await browser.newContext({ locale: "en-GB" });
  const theirs = await context.newPage();
  await open(theirs, await tollgate.signInLink(user));
  await expect(theirs.getByTestId("balance")).toHaveText("907");
  const charge = theirs.getByRole("listitem").filter({ hasText: model.toLowerCase() });
  await expect(charge).toContainText("−93");
  await charge.getByText("Receipt").click();
  await expect(charge).toContainText(
    "Your browser computed 93 points from these prices. The ledger took exactly that.",
  );
  await expect(charge.getByRole("row", { name: /^Input/ })).toContainText(/1,500.*30.*45/);
  await expect(charge.getByRole("row", { name: /^Output/ })).toContainText(/800.*60.*48/);
  await expect(charge).toContainText(message);
  await context.close();

  expect(JSON.parse(await tollgate.command(["verify", "--json"]))).toMatchObject({ ok: true });
});

test("a message of an unknown model waits, and its price charges it", async ({
  adminPage: page,
  tollgate,
}) => {
  const [model, user] = [unique("unpriced"), unique("user")];
  await tollgate.addPoints(user, "100");
  await open(page, "/admin");
  await expect(page.getByTestId("connection")).toHaveText("Live");
  const answer = await tollgate.deliver(
    sampleEvent({ message_id: unique("msg"), user_id: user, model_name: model }),
  );
  expect(answer).toMatchObject({
    status: 202,
    body: { data: { status: "quarantined", reason: "unknown_model", pointsDeducted: 0 } },
  });
  const waiting = page.getByRole("row").filter({ hasText: user }).filter({ hasText: "Waiting" });
  await expect(waiting).toContainText("The model has no price.");
  expect(await tollgate.balance(user)).toBe(100);

  await waiting.getByRole("link", { name: "Set a price" }).click();
  await expect(page.getByLabel("Model name")).toHaveValue(model);
  await page.getByLabel("Input, points per 1,000 tokens", { exact: true }).fill("0.5");
  await page.getByLabel("Output, points per 1,000 tokens", { exact: true }).fill("1.25");
  await page.getByRole("button", { name: "Publish price" }).click();
  // 1,500 × 0.5 + 800 × 1.25, per 1,000.
  await expect.poll(() => tollgate.balance(user)).toBe(98.25);
});

test("a model whose name looks like a list is one model", async ({ adminPage: page, tollgate }) => {
  const [model, user] = [`${unique("unpriced")}, as of May`, unique("user")];
  await tollgate.deliver(
    sampleEvent({ message_id: unique("msg"), user_id: user, model_name: model }),
  );
  await open(page, "/admin");
  const waiting = page.getByRole("row").filter({ hasText: user });
  await waiting.getByRole("link", { name: "Set a price" }).click();
  await expect(page.getByLabel("Model name")).toHaveValue(model);

  await open(page, "/admin/quarantine");
  await page.getByRole("row").filter({ hasText: user }).getByRole("link", { name: /^Open / }).click();
  await page.getByRole("link", { name: `Set a price for ${model}` }).click();
  await expect(page.getByLabel("Model name")).toHaveValue(model);
});

test("a price that cannot be is refused at its field", async ({ adminPage: page }) => {
  await open(page, "/admin/prices?new=1");
  const input = page.getByLabel("Input, points per 1,000 tokens", { exact: true });
  await page.getByLabel("Model name").fill(unique("model"));
  await input.fill("0.0000001");
  await page.getByLabel("Output, points per 1,000 tokens", { exact: true }).fill("60");
  await page.getByRole("button", { name: "Publish price" }).click();
  await expect(input).toHaveAccessibleDescription(/Must have at most 6 decimals\./);
  await expect(input).toHaveAttribute("aria-invalid", "true");
  await expect(input).toHaveValue("0.0000001");
});

test("a changed price is a new version, and switching it off is another", async ({
  adminPage: page,
  tollgate,
}) => {
  const model = unique("versioned");
  await tollgate.setPrice(model, "30", "60");
  await open(page, `/admin/prices?model=${model}`);
  await page.getByLabel("Input, points per 1,000 tokens", { exact: true }).fill("40");
  await page.getByLabel("Note").fill("Costs rose");
  await page.getByRole("button", { name: "Publish price" }).click();
  const versions = page.getByRole("table", { name: "Price history" });
  await expect(versions.getByRole("row")).toHaveCount(3);
  await expect(versions.getByRole("row").nth(1)).toContainText(/2.*In force.*Input 30 → 40.*Costs rose/);

  await page.getByRole("button", { name: "Deactivate" }).click();
  await page.getByRole("button", { name: "Yes, deactivate" }).click();
  await expect(versions.getByRole("row").nth(1)).toContainText(/3.*In force.*Deactivated/);
  await expect(page.getByRole("button", { name: "Activate" })).toBeVisible();
});

test("an administrator adds points, takes some, and makes a link for the user", async ({
  adminPage: page,
  browser,
}) => {
  const user = unique("user");
  await open(page, "/admin/users");
  await page.getByLabel("User id, known or new").fill(user);
  await page.getByRole("button", { name: "Open", exact: true }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(user);
  await page.getByLabel("Points", { exact: true }).fill("100.5");
  await page.getByLabel("Reason").fill("Welcome");
  await page.getByRole("button", { name: "Add points" }).click();
  await expect(page.getByTestId("balance")).toHaveText("100.5");
  await expect(page.getByRole("status").filter({ hasText: user })).toContainText("+100.5");

  await page.getByLabel("Take points").check();
  await page.getByLabel("Points", { exact: true }).fill("0.5");
  await page.getByLabel("Reason").fill("Too many");
  await page.getByRole("button", { name: "Take points" }).click();
  await expect(page.getByTestId("balance")).toHaveText("100");
  await expect(page.getByRole("listitem").filter({ hasText: "Too many" })).toContainText("−0.5");

  await page.getByRole("button", { name: "Create a sign-in link" }).click();
  const link = await page.getByLabel("Sign-in link for this user").inputValue();
  const context = await browser.newContext({ locale: "en-GB" });
  const theirs = await context.newPage();
  await open(theirs, link);
  await expect(theirs.getByTestId("balance")).toHaveText("100");
  await expect(theirs.getByRole("listitem").filter({ hasText: "Welcome" })).toContainText("+100.5");
  await context.close();
});

test("the calculator agrees with the ledger", async ({ adminPage: page }) => {
  await open(page, "/admin/calculator");
  await page.getByLabel("Input tokens", { exact: true }).fill("1,500");
  await page.getByLabel("Output tokens", { exact: true }).fill("800");
  await page.getByLabel("GPT-4", { exact: true }).check();
  await expect(page.getByText("93", { exact: true }).first()).toBeVisible();
});
