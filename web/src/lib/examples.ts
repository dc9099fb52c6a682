// What empty pages teach with: files that check and run as they stand.

/** Greets somebody: the smallest workflow that takes something. */
export const GREET = `# Greets somebody.
workflow: default/greet
inputs:
  name: {type: string, default: world}
nodes:
  # Any command, in any language: JSON in, JSON out.
  greet:
    run:
      script: echo "hello $NAME"
      env: {NAME: "\${ inputs.name }"}
`;

/** Waits for a person. */
export const ASK = `# Asks somebody before it goes on.
workflow: default/ask
nodes:
  # The question stands in the inbox until somebody decides.
  decide:
    human:
      title: Shall it go on?
      form: {type: object, properties: {comment: {type: string, title: Comment}}}
  goes_on:
    if: \${ nodes.decide.decision == "approve" }
    run: {script: echo "it goes on"}
`;

/** Makes an artifact. */
export const TABLE = `# Makes a table that other steps can read.
workflow: default/table
nodes:
  rows:
    run:
      script: |
        printf 'id,score\\n1,0.5\\n2,0.75\\n' > "$TUTTI_OUT_DIR/rows.csv"
        printf '{"rows": {"$file": "rows.csv"}}' > "$TUTTI_OUTPUT"
    outputs: {rows: table}
outputs: {rows: "\${ nodes.rows.rows }"}
`;

export const EXAMPLES = { greet: GREET, ask: ASK, table: TABLE } as const;
export type Example = keyof typeof EXAMPLES;

/** A site, a tag with its owners, a policy and what may take the tag off: documents that are applied. */
export const SITE = `kind: site
name: onprem
capacity: {cpu: 4, memory: 8Gi}
attributes: {zone: on-premise}
prices: {cpu_hour: 0.06, memory_gib_hour: 0.006}
`;

export const TAG = `kind: tag
name: pii
owners: [data-protection]
`;

export const RULES = `${TAG}---
kind: policy
name: personal-data
cedar: |
  @id("stays-home")
  @reason("personal data stays on-premise")
  forbid (principal, action in Action::"place", resource)
  when { context.data in Tag::"pii" }
  unless { resource.zone == "on-premise" };
`;

export const SANITIZER = `${TAG}---
kind: sanitizer
name: drop-names
run: {command: [cut, "-d,", "-f2-"]}
strips: [pii]
expires: 180d
`;

export const PROJECT = `kind: project
name: default
budget: {day: 20}
`;

/** How a document is registered from a terminal: one piece that can be pasted. */
export const applied = (file: string, text: string) => `cat > ${file} <<'END'\n${text}END\ntutti apply -f ${file}`;
/** How a workflow is run from a terminal. */
export const ran = (file: string, text: string, more = "") => `cat > ${file} <<'END'\n${text}END\ntutti run ${file}${more} --wait`;
