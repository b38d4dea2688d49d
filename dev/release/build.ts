import type { Metafile } from 'esbuild';
import type { Architecture } from './options.ts';
import type { Source } from './source.ts';

/** What each part of a release is made from. */
export interface Build {
  readonly source: Source;
  /** Name of the image, without a tag. */
  readonly image: string;
  readonly architectures: readonly Architecture[];
  /** The commands, bundled without source maps. */
  readonly bundle: { readonly folder: string; readonly metafile: Metafile };
  /** Paths of the pinned programs. */
  readonly tools: { readonly helm: string; readonly kubectl: string };
  /** A temporary folder; each part makes a folder of its own in it. */
  readonly work: string;
  /** The folder with the files of the release. */
  readonly output: string;
}
