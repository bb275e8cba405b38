/**
 * What a package tells observers: one typed union of events per package, to the instance's `onEvent` and to the package's channel of
 * node:diagnostics_channel. Without an observer an event is not even built.
 */
import { channel } from "node:diagnostics_channel";
import type { Channel } from "node:diagnostics_channel";
import { warn } from "./thrown.ts";

/** Where an instance's events go. */
export class EventSink<Event extends { readonly type: string }> {
  readonly #channel: Channel;
  readonly #onEvent: ((event: Event) => void) | undefined;

  /** @param channelName `holdfast:timer` */
  constructor(channelName: string, onEvent?: (event: Event) => void) {
    this.#channel = channel(channelName);
    this.#onEvent = onEvent;
  }

  /** Whether anybody listens. */
  get active(): boolean {
    return this.#onEvent !== undefined || this.#channel.hasSubscribers;
  }

  /**
   * Tells the observers; `build` runs only when there are any. An observer that throws does not disturb the work: the error of `onEvent`
   * becomes a process warning, that of a channel's subscriber an uncaught exception, as node:diagnostics_channel has it.
   */
  emit(build: () => Event): void {
    if (!this.active) return;
    const event = build();
    try {
      this.#onEvent?.(event);
    } catch (error) {
      warn(error);
    }
    this.#channel.publish(event);
  }
}
