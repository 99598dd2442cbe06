// The little of Node that the tests use, so that its types need not be installed.
declare module "node:test" {
  export function test(name: string, body: () => void | Promise<void>): void;
}
declare module "node:assert/strict" {
  const assert: {
    equal(actual: unknown, expected: unknown, message?: string): void;
    ok(value: unknown, message?: string): asserts value;
    deepEqual(actual: unknown, expected: unknown, message?: string): void;
  };
  export default assert;
}
declare module "node:http" {
  interface Server {
    listen(port: number, host: string, ready: () => void): void;
    close(): void;
    address(): { port: number };
  }
  export function createServer(answer: (request: { url: string }, response: { setHeader(name: string, value: string): void; end(body: string): void }) => void): Server;
}
declare module "node:fs" {
  export function readFileSync(path: string, encoding: "utf8"): string;
}
