import type { Stage } from './stage.ts'

/** One step of the demo's story. */
export interface Chapter {
  title: string
  /** False or an error ends the story as failed. */
  tell(stage: Stage): Promise<boolean>
}
