import { selectOn } from './charts.mjs';

/** A person at a page: does one thing at a time, and counts them. Reading and typing text are free. */
export class Person {
  actions = 0;
  #page;

  constructor(page) {
    this.#page = page;
  }

  async click(locator) {
    this.actions += 1;
    await locator.click();
  }

  async choose(locator, option) {
    this.actions += 1;
    await locator.selectOption(option);
  }

  /** Into a field that was clicked, or has the focus anyway. */
  async type(locator, text) {
    await locator.fill(text);
  }

  async press(key) {
    this.actions += 1;
    await this.#page.keyboard.press(key);
  }

  /** Drags over a range of a chart; see `selectOn`. */
  async select(chart, range) {
    this.actions += 1;
    await selectOn(this.#page, chart, range);
  }

  /** Clicks at a share of an element's width, half way down. */
  async clickAt(locator, across) {
    this.actions += 1;
    const { width, height } = await locator.boundingBox();
    await locator.click({ position: { x: width * across, y: height / 2 } });
  }

  /** Moves the pointer to a share of an element's width and height, once the element stays in its place. */
  async pointAt(locator, across, down) {
    this.actions += 1;
    const { width, height } = await locator.boundingBox();
    await locator.hover({ position: { x: width * across, y: height * down } });
  }
}
