// A Tollgate of one's own: the release binary on a free port, with a private Postgres in a
// temporary data folder, set up through its command line as an operator would.
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const binary = process.env.TOLLGATE_BINARY ?? join(root, "target/release/tollgate");

export const ADMINISTRATOR = { name: "admin", password: "a long enough password" };
export const MODEL = "GPT-4";

/** The event of the requirements document, with another message, user or numbers where given. */
export function sampleEvent(data: Record<string, unknown> = {}) {
  return {
    event: "message_end",
    data: {
      conversation_id: "conv_123",
      message_id: "msg_456",
      user_id: "user_789",
      model_name: "gpt-4",
      input_tokens: 1500,
      output_tokens: 800,
      total_tokens: 2300,
      timestamp: "2024-01-15T10:30:00Z",
      ...data,
    },
    request_id: "req_abc123",
  };
}

export type WebhookAnswer = {
  status: number;
  body: {
    success: boolean;
    data?: { status: string; pointsDeducted: number; tokensUsed: number; balance: number };
    error?: { code: string; field?: string };
  };
};

export type TracedMessage = {
  id: string;
  user: string;
  model: string;
  input: number;
  output: number;
};

export class Tollgate {
  private server?: ChildProcess;
  private log = "";

  private constructor(
    private readonly dataDir: string,
    private readonly port: number,
  ) {}

  static async start(): Promise<Tollgate> {
    const dataDir = await mkdtemp(join(tmpdir(), "tollgate-end2end-"));
    // Started by root, Postgres runs as another user, who must be able to get here.
    await chmod(dataDir, 0o755);
    const tollgate = new Tollgate(dataDir, await freePort());
    try {
      await tollgate.startServer();
      await tollgate.command(
        ["admin", "create", "--name", ADMINISTRATOR.name, "--password-stdin"],
        ADMINISTRATOR.password,
      );
    } catch (error) {
      await tollgate.remove();
      throw error;
    }
    return tollgate;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async startServer(): Promise<void> {
    const server = spawn(binary, ["serve"], {
      cwd: root,
      env: this.env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.server = server;
    for (const stream of [server.stdout, server.stderr]) {
      stream?.on("data", (text) => (this.log += text));
    }
    const deadline = Date.now() + 60_000;
    while (Date.now() < deadline) {
      if (server.exitCode !== null) break;
      const answer = await fetch(`${this.url}/readyz`).catch(() => undefined);
      if (answer?.ok) return;
      await sleep(50);
    }
    throw new Error(`tollgate serve is not ready:\n${this.log}`);
  }

  async stopServer(): Promise<void> {
    const server = this.server;
    if (!server || server.exitCode !== null || server.signalCode !== null) return;
    const exited = once(server, "exit");
    server.kill("SIGTERM");
    const patience = sleep(30_000, "late", { ref: false });
    if ((await Promise.race([exited, patience])) === "late") {
      server.kill("SIGKILL");
      throw new Error(`tollgate serve did not stop when asked to:\n${this.log}`);
    }
  }

  /** Stops what was started here and removes its data. */
  async remove(): Promise<void> {
    await this.stopServer();
    // Postgres is stopped by whoever uses it last, just after that.
    for (let attempt = 0; ; attempt++) {
      try {
        await rm(this.dataDir, { recursive: true, force: true });
        return;
      } catch (error) {
        if (attempt === 50) throw error;
        await sleep(100);
      }
    }
  }

  /** Runs a command of the binary and returns what it printed. */
  command(args: string[], input = ""): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = execFile(binary, args, { cwd: root, env: this.env }, (error, stdout, stderr) =>
        error ? reject(new Error(`tollgate ${args.join(" ")}: ${stderr}`)) : resolve(stdout),
      );
      child.stdin?.end(input);
    });
  }

  async setPrice(model: string, input: string, output: string): Promise<void> {
    await this.command(["price", "set", "--model", model, "--input", input, "--output", output]);
  }

  async addPoints(user: string, points: string): Promise<void> {
    await this.command([
      ...["points", "add", "--user", user, "--points", points],
      ...["--reason", "For the tests"],
    ]);
  }

  async balance(user: string): Promise<number> {
    return JSON.parse(await this.command(["balance", "--user", user, "--json"])).balance;
  }

  private readonly keys = new Map<string, Promise<string>>();

  /** A key of a scope; always the same. */
  key(scope: "webhook" | "points"): Promise<string> {
    const name = scope === "webhook" ? "end2end" : `end2end ${scope}`;
    const create = () =>
      this.command(["key", "create", "--name", name, "--scope", scope, "--json"]).then(
        (created) => JSON.parse(created).key as string,
      );
    const key = this.keys.get(scope) ?? create();
    this.keys.set(scope, key);
    return key;
  }

  private async post(path: string, scope: "webhook" | "points", body: string): Promise<WebhookAnswer> {
    const answer = await fetch(this.url + path, {
      method: "POST",
      headers: {
        authorization: `Bearer ${await this.key(scope)}`,
        "content-type": "application/json",
      },
      body,
    });
    return { status: answer.status, body: await answer.json() };
  }

  /** Delivers an event over HTTP, as Dify would. */
  deliver(event: unknown): Promise<WebhookAnswer> {
    return this.deliverBody(JSON.stringify(event));
  }

  /** Delivers whatever text there is. */
  deliverBody(body: string): Promise<WebhookAnswer> {
    return this.post("/api/dify/webhook", "webhook", body);
  }

  /** Holds what a call with so many input tokens costs, as an operator's back end would. */
  async hold(user: string, model: string, inputTokens: number): Promise<void> {
    const answer = await this.post(
      "/api/user/points/check-balance",
      "points",
      JSON.stringify({
        userId: user,
        modelName: model,
        estimatedInputTokens: inputTokens,
        estimatedOutputTokens: 0,
        hold: true,
      }),
    );
    if (answer.status !== 200) throw new Error(`no hold: ${JSON.stringify(answer)}`);
  }

  /** A new source: its key, and what is to be entered in Dify for it. */
  async createSource(...options: string[]): Promise<{ key: string; enter: Record<string, string> }> {
    return JSON.parse(await this.command(["source", "create", ...options, "--json"]));
  }

  /** Reports a message of one model call as Dify's Langfuse provider does. */
  async trace(enter: Record<string, string>, message: TracedMessage): Promise<void> {
    const { id, user, model, input, output } = message;
    const metadata = { message_id: id, user_id: user, from_source: "api" };
    const total = input + output;
    const events = [
      ["trace-create", { id, name: "message", userId: user, metadata, input: { message_tokens: input, answer_tokens: output, total_tokens: total }, output: "yo" }],
      ["generation-create", { id: `${id}-llm`, traceId: id, name: "llm", model, metadata, usage: { input, output, total, unit: "TOKENS" } }],
    ].map(([type, body]) => ({ id: randomUUID(), type, timestamp: new Date().toISOString(), body }));
    const answer = await fetch(`${this.url}/langfuse/api/public/ingestion`, {
      method: "POST",
      headers: {
        authorization: `Basic ${btoa(`${enter.publicKey}:${enter.secretKey}`)}`,
        "content-type": "application/json",
      },
      body: JSON.stringify({ batch: events }),
    });
    if (answer.status !== 207) throw new Error(`no trace: ${answer.status} ${await answer.text()}`);
  }

  /** The address of a link that signs a user in. */
  async signInLink(user: string): Promise<string> {
    const printed = await this.command(["user", "link", "--user", user]);
    const path = printed.match(/\/enter\?token=\S+/)?.[0];
    if (!path) throw new Error(`no sign-in link in: ${printed}`);
    return this.url + path;
  }

  private get env(): NodeJS.ProcessEnv {
    const { DATABASE_URL: _, ...inherited } = process.env;
    return {
      ...inherited,
      TOLLGATE_ADDR: `127.0.0.1:${this.port}`,
      TOLLGATE_DATA_DIR: this.dataDir,
      TOLLGATE_SITE_ROOT: join(root, "target/site"),
    };
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as { port: number };
  probe.close();
  await once(probe, "close");
  return port;
}
