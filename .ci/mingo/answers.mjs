// Answers questions about queries by mingo.
//
//     node answers.mjs matches|sort|distinct questions.json answers.json
//
// The files hold lists of the same length. What mingo refuses is answered with {"error": text}.

import { readFileSync, writeFileSync } from "node:fs";
import { Query, aggregate, find } from "mingo";

// JavaScript has no option x, so what it leaves out is left out here.
const withoutX = (query) =>
  JSON.parse(JSON.stringify(query), (_, value) => {
    if (!value?.$options?.includes?.("x")) return value;
    const $regex = value.$regex.replace(/#.*\n/g, "").replace(/\s/g, "");
    return { ...value, $regex, $options: value.$options.replace("x", "") };
  });

const kinds = {
  // Whether the document matches.
  matches: ({ document, query }) => new Query(withoutX(query)).test(document),

  // The _ids of the documents in order.
  sort: ({ documents, path, direction }) =>
    find(documents, {})
      .sort({ [path]: direction, _id: direction })
      .all()
      .map((document) => document._id),

  // mingo has no `distinct`. Its groups are whole values; of arrays the members count.
  distinct: ({ documents, path }) =>
    aggregate(documents, [
      { $match: { [path]: { $exists: true } } },
      { $group: { _id: `$${path}` } },
    ]).flatMap((group) => group._id),
};

const [kind, questionsFile, answersFile] = process.argv.slice(2);
const answers = JSON.parse(readFileSync(questionsFile, "utf8")).map((question) => {
  try {
    return kinds[kind](question);
  } catch (error) {
    return { error: String(error) };
  }
});
writeFileSync(answersFile, JSON.stringify(answers));
