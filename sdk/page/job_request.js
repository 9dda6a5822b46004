// A job request (NIP-90, kinds 5000 to 5999) from the fields of a form.

/** The tags of the request. Fields without a value are left out. */
export function requestTags(form, agent) {
  const tags = [];
  for (const field of form.elements) {
    const { input, param, several } = field.dataset;
    if (field.value === "") continue;
    if (input) tags.push(["i", field.value, input]);
    if (param) {
      const values = several === undefined ? [field.value] : field.value.split("\n").map((line) => line.trim());
      for (const value of values) if (value !== "") tags.push(["param", param, value]);
    }
  }
  return [...tags, ["p", agent]];
}
