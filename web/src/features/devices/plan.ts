// What a read plan says, as rows of tables. Pure.
import type { DevicePlan, PlanList, PlanRequest, PlanTag } from '../../api/gen/model';

export interface RequestRow {
  key: string;
  list: PlanList;
  request: PlanRequest;
}

export const requestRows = (plan: DevicePlan): RequestRow[] =>
  plan.lists.flatMap((list, i) => list.requests.map((request, k) => ({ key: `${i}/${k}`, list, request })));

/** More than this over the interval asked for is no jitter any more. */
const SHORT_FALL = 1.1;

const isSlow = ({ interval_ms, achieved_interval_ms }: PlanTag) =>
  typeof achieved_interval_ms === 'number' && achieved_interval_ms > interval_ms * SHORT_FALL;

const isHole = (tag: PlanTag) => typeof tag.hole === 'string';

/** Tags that are not read, or less often than they ask for; those that are not read come first. */
export function shortTags(plan: DevicePlan): PlanTag[] {
  const holes = plan.tags.filter(isHole);
  return [...holes, ...plan.tags.filter((tag) => !isHole(tag) && isSlow(tag))];
}
