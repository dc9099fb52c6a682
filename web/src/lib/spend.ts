// What was spent today beside what may be, over all projects.

import type { ProjectCostView } from "../api/types";
import { money } from "./format";

/** A project is close to its budget when less than this part of it is left. */
const CLOSE = 0.1;

type Spending = Pick<ProjectCostView, "name" | "spent_day" | "budget_day" | "left">;

export function spendToday(projects: Spending[]): number {
  return projects.reduce((sum, project) => sum + project.spent_day, 0);
}

/** The budgets in words: who is over or close to theirs, or how much of them all is left today. Nothing when no project has one. */
export function budgetOf(projects: Spending[]): { words: string; over: boolean } | null {
  const bounded = projects.filter((project) => project.left != null);
  if (bounded.length === 0) return null;
  const over = bounded.filter((project) => project.left! <= 0);
  if (over.length > 0) return { words: `used up by ${over.map((project) => project.name).join(", ")}`, over: true };
  const close = bounded.filter((project) => project.budget_day != null && project.left! < project.budget_day * CLOSE);
  if (close.length > 0) return { words: `nearly used up by ${close.map((project) => project.name).join(", ")}`, over: false };
  return { words: `${money(bounded.reduce((sum, project) => sum + project.left!, 0))} of the budgets left`, over: false };
}
