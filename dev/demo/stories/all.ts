import { kekRotation } from './kek-rotation.ts';
import { restore } from './restore.ts';
import { revoke } from './revoke.ts';
import { rotation } from './rotation.ts';
import type { Story } from './story.ts';

export const stories = { rotation, revoke, 'kek-rotation': kekRotation, restore } satisfies Readonly<
  Record<string, Story>
>;
export type StoryName = keyof typeof stories;
