// The words of Cedar, for its colours. What it means is the server's business.

export type Token = { text: string; is: "comment" | "string" | "effect" | "keyword" | "annotation" | "entity" | "number" | "plain" };

const RULES: [Token["is"], RegExp][] = [
  ["comment", /^\/\/[^\n]*/],
  ["string", /^"(?:[^"\\\n]|\\.)*"?/],
  ["annotation", /^@[A-Za-z_]\w*/],
  ["entity", /^[A-Za-z_]\w*(?:::[A-Za-z_]\w*)*::(?=")/],
  ["effect", /^(?:permit|forbid)\b/],
  ["keyword", /^(?:when|unless|if|then|else|in|is|like|has|principal|action|resource|context|true|false)\b/],
  ["number", /^\d+/],
  ["plain", /^[A-Za-z_]\w*/],
  ["plain", /^\s+/],
];

/** The next token of a text, never an empty one. */
export function nextToken(text: string): Token {
  for (const [is, rule] of RULES) {
    const found = rule.exec(text)?.[0];
    if (found) return { text: found, is };
  }
  return { text: text.slice(0, 1), is: "plain" };
}

/** A text as tokens: all of its characters, in order. */
export function tokens(text: string): Token[] {
  const found: Token[] = [];
  for (let at = 0; at < text.length; ) {
    const token = nextToken(text.slice(at));
    found.push(token);
    at += token.text.length;
  }
  return found;
}

/** A policy as the document that is applied. The text of Cedar is a block of its own, as it was typed. */
export function policyDocument(policy: { name: string; description: string; closed: boolean; approvals: number; cedar: string }): string {
  const head = [`kind: policy`, `name: ${JSON.stringify(policy.name)}`];
  if (policy.description) head.push(`description: ${JSON.stringify(policy.description)}`);
  if (policy.closed) head.push("closed: true");
  if (policy.approvals > 0) head.push(`approvals: ${policy.approvals}`);
  // The indentation is said, so that a text that begins with spaces stays as it is.
  const lines = policy.cedar.replace(/\s+$/, "").split("\n");
  return `${head.join("\n")}\ncedar: |2\n${lines.map((line) => (line ? `  ${line}` : "")).join("\n")}\n`;
}
