// A stand-in for one app of Dify: what its own API lists as served, and for a chat app the calls
// themselves, so that some can come through Tollgate's gateway and some behind its back.
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { unique } from "./fixtures";

export const APP_KEY = "app-secret";

export type Served = {
  user: string;
  /** Of a workflow the id of a run. */
  id: string;
  conversation: string;
  /** Absent as from old versions of Dify. */
  tokens?: { input: number; output: number };
  /** Unix seconds. */
  at: number;
};

const HOUR = 3600;

/** Old enough to be looked at. */
export function hoursAgo(hours: number): number {
  return Math.floor(Date.now() / 1000) - hours * HOUR;
}

export class DifyApp {
  /** Newest first. */
  readonly served: Served[] = [];
  /** Refuses to list anything, with this status. */
  refusal?: number;

  private constructor(
    private readonly kind: "chat" | "workflow",
    private readonly server: Server,
  ) {}

  static async start(kind: "chat" | "workflow"): Promise<DifyApp> {
    const server = createServer().listen(0, "127.0.0.1");
    const app = new DifyApp(kind, server);
    server.on("request", async (request, response) => {
      const { status, body } = await app.answer(request);
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(body));
    });
    await once(server, "listening");
    return app;
  }

  get url(): string {
    const { port } = this.server.address() as AddressInfo;
    return `http://127.0.0.1:${port}/v1`;
  }

  async stop(): Promise<void> {
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, "close");
  }

  /** Serves a message that nobody reports. */
  serve(user: string, message: Partial<Served> = {}): Served {
    const served = {
      user,
      id: unique("msg"),
      conversation: `conversation-of-${user}`,
      tokens: { input: 1000, output: 500 },
      at: hoursAgo(1),
      ...message,
    };
    this.served.unshift(served);
    return served;
  }

  private async answer(request: IncomingMessage): Promise<{ status: number; body: unknown }> {
    if (request.headers.authorization !== `Bearer ${APP_KEY}`) return problem(401, "unauthorized");
    const { pathname, searchParams } = new URL(request.url ?? "", "http://dify");
    if (request.method === "POST") return { status: 200, body: this.chat(await json(request)) };
    if (this.refusal) return problem(this.refusal, "unavailable");
    const isWorkflow = this.kind === "workflow";
    const ofUser = this.served.filter(({ user }) => user === searchParams.get("user"));
    switch (pathname) {
      case "/v1/workflows/logs":
        return isWorkflow ? list(this.served.map(asRun)) : problem(400, "not_workflow_app");
      case "/v1/conversations":
        return isWorkflow ? problem(400, "not_chat_app") : list(conversations(ofUser));
      case "/v1/messages":
        return list(ofUser.filter(({ conversation }) =>
          conversation === searchParams.get("conversation_id")).map(asMessage));
      default:
        return problem(404, "not_found");
    }
  }

  /** A blocking call of a chat app. */
  private chat({ user }: { user: string }) {
    const { id, conversation, tokens } = this.serve(user);
    const { input, output } = tokens ?? { input: 0, output: 0 };
    return {
      ...{ event: "message", task_id: unique("task"), mode: "chat", answer: "yo" },
      ...{ id, message_id: id, conversation_id: conversation, created_at: hoursAgo(0) },
      metadata: {
        usage: { prompt_tokens: input, completion_tokens: output, total_tokens: input + output },
      },
    };
  }
}

async function json(request: IncomingMessage) {
  let text = "";
  for await (const part of request) text += part;
  return JSON.parse(text);
}

function problem(status: number, code: string) {
  return { status, body: { code, message: code, status } };
}

function list(data: unknown[]) {
  return { status: 200, body: { data, has_more: false, limit: 100 } };
}

function conversations(served: Served[]) {
  const ids = [...new Set(served.map(({ conversation }) => conversation))];
  return ids.map((id) => ({ id, name: "chat", created_at: hoursAgo(1), updated_at: hoursAgo(1) }));
}

function asMessage({ id, conversation, tokens, at }: Served) {
  const message = { id, conversation_id: conversation, created_at: at, answer: "yo" };
  if (!tokens) return message;
  const { input, output } = tokens;
  return { ...message, message_tokens: input, answer_tokens: output, total_tokens: input + output };
}

function asRun({ id, user, tokens, at }: Served) {
  const total = (tokens?.input ?? 0) + (tokens?.output ?? 0);
  return {
    ...{ id: `log-${id}`, created_by_role: "end_user", created_by_account: null },
    created_by_end_user: { id: "uuid", session_id: user },
    workflow_run: { id, status: "succeeded", total_tokens: total, created_at: at },
  };
}
