import { ApiError } from '../../kube/errors.ts';

/** The result of one check of `doctor`. */
export interface Finding {
  readonly check: string;
  /** `unknown`: the user may not read what the check needs. */
  readonly result: 'passed' | 'warning' | 'failed' | 'unknown';
  readonly detail: string;
  /** What to do; absent if there is nothing to do. */
  readonly remedy?: string;
}

type Result = Omit<Finding, 'check'>;

export const passed = (detail: string): Result => ({ result: 'passed', detail });
export const warning = (detail: string, remedy: string): Result => ({ result: 'warning', detail, remedy });
export const failed = (detail: string, remedy: string): Result => ({ result: 'failed', detail, remedy });
export const unknown = (detail: string, remedy: string): Result => ({ result: 'unknown', detail, remedy });

/** Runs one check. A refused request makes it `unknown`; without credentials or answers, it rejects. */
export async function examine(check: string, work: () => Promise<Result>): Promise<Finding> {
  try {
    return { check, ...(await work()) };
  } catch (error) {
    if (!(error instanceof ApiError) || error.status === 401) throw error;
    return { check, ...unknown(error.message, 'ask an administrator for this right, or to run kubectl lti doctor') };
  }
}
