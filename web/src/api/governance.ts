// The rules: how they stand, what they would permit, and what people say for them.

import { useQuery } from "@tanstack/react-query";

import { get, post } from "./client";
import type { components } from "./schema";

type Schemas = components["schemas"];

export type PolicyStatus = Schemas["PolicyStatus"];
export type PolicyView = Schemas["PolicyView"];
export type SanitizerView = Schemas["SanitizerView"];
export type TagView = Schemas["TagView"];
export type Asked = Schemas["Asked"];
export type Simulated = Schemas["SimulatedView"];
export type RuleChange = Schemas["RuleChangeView"];
type Checked = { diagnostics: { path: string; finding: { severity: string; code: string; message: string; hint?: string } }[]; rendered: string };

export function usePolicy() {
  return useQuery({ queryKey: ["policy", "status"], queryFn: ({ signal }) => get<PolicyStatus>("/api/v1/policy", signal) });
}

export type Question = { workflow?: string; domain?: string; work?: string; label?: string[]; from?: string; operation?: string; user?: string; groups?: string[]; roles?: string[]; kind?: string; name?: string };

export const ask = (question: Question) => post<Asked>("/api/v1/policy/ask", question);

const documents = (text: string) => ({ documents: [{ path: "policy.yaml", text }] });

/** What is wrong with a document. Nothing is registered. */
export const validate = (text: string) => post<Checked>("/api/v1/check", documents(text));
export const simulate = (text: string, days: number) => post<Simulated>("/api/v1/policy/simulate", { ...documents(text), days });
export const apply = (text: string) => post<{ applied: { kind: string; name: string; change: string; version: number }[] }>("/api/v1/apply", documents(text));

export type Word = { kind: "sanitizer" | "policy"; name: string; digest?: string; reason: string };
export const vouch = (word: Word, revoke: boolean) => post<Schemas["ApprovedView"]>(`/api/v1/policy/${revoke ? "revoke" : "approve"}`, word);

export const changes = (cursor: number | undefined, signal: AbortSignal) => get<RuleChange[]>(`/api/v1/policy/history?limit=50${cursor === undefined ? "" : `&cursor=${cursor}`}`, signal);
