// The tags: what they stand for, and who answers for them.

import type { TagView } from "../../api/governance";
import { applied, TAG } from "../../lib/examples";
import { seconds } from "../../lib/format";
import { Card, Empty, Td, Th } from "../../ui/kit";
import { Tags } from "../../ui/tags";

export function TagsPane({ tags }: { tags: TagView[] }) {
  if (tags.length === 0) return <Empty title="No tag is declared" code={applied("tags.yaml", TAG)} />;
  return (
    <Card>
      <table className="w-full">
        <thead>
          <tr className="border-b border-line">
            <Th>Tag</Th>
            <Th>What it says</Th>
            <Th>Owners</Th>
            <Th>To take it off</Th>
            <Th>Kept</Th>
            <Th>When a rule changes</Th>
          </tr>
        </thead>
        <tbody>
          {tags.map((tag) => (
            <tr key={tag.name} className="border-b border-line align-top last:border-0">
              <Td>
                <Tags tags={[tag.name]} />
                {tag.parent ? <span className="block text-faint">a kind of {tag.parent}</span> : null}
              </Td>
              <Td>
                {tag.description}
                <span className="block text-faint">{tag.protects}</span>
              </Td>
              <Td>{tag.owners.join(", ") || <span className="text-warn">nobody</span>}</Td>
              <Td>
                {tag.approvals} {tag.approvals === 1 ? "approval" : "approvals"}
              </Td>
              <Td>{tag.retention_seconds ? seconds(tag.retention_seconds) : "no limit"}</Td>
              <Td>{tag.on_revoke === "stop" ? "what runs is stopped" : "what runs may end"}</Td>
            </tr>
          ))}
        </tbody>
      </table>
    </Card>
  );
}
