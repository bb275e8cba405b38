/**
 * The rule that a guarantee has a test: every invariant id of a package stands in the title of one of its tests, and no title cites an id that
 * does not exist.
 */
import { identifierName, isNode, isTest, literalText, placeOf, visitNodes } from "./source-file.ts";
import type { Rule, SourceFile, TreeNode } from "./source-file.ts";

interface Title {
  readonly text: string;
  readonly place: string;
}

/** `it(…)`, `test.concurrent(…)`, `it.each(…)(…)`: the runner's own name, else null. */
function runnerName(callee: unknown): string | null {
  let node: unknown = callee;
  while (isNode(node) && node.type !== "Identifier") {
    if (node.type === "MemberExpression") node = node["object"];
    else if (node.type === "CallExpression") node = node["callee"];
    else if (node.type === "TaggedTemplateExpression") node = node["tag"];
    else return null;
  }
  return identifierName(node);
}

function titlesOf(file: SourceFile): Title[] {
  const titles: Title[] = [];
  visitNodes(file, (node: TreeNode) => {
    if (node.type !== "CallExpression" || !/^(it|test)$/.test(runnerName(node["callee"]) ?? "")) return;
    const text = literalText((node["arguments"] as unknown[])[0]);
    if (text !== null) titles.push({ text, place: placeOf(file, node) });
  });
  return titles;
}

/** The rule for a list of ids by package; a package that is not there is not held to it. */
export function everyInvariantHasATest(invariants: Readonly<Record<string, readonly string[]>>): Rule {
  return (files) => {
    const present = Object.entries(invariants).filter(([name]) =>
      files.some(({ path }) => path.startsWith(`packages/${name}/src/`)),
    );
    return present.flatMap(([name, ids]) => {
      const titles = files
        .filter((file) => isTest(file) && file.path.startsWith(`packages/${name}/test/`))
        .flatMap(titlesOf);
      const letter = ids[0]?.charAt(0) ?? "";
      const cited = titles.flatMap(({ text, place }) => {
        return (text.match(new RegExp(`\\b${letter}\\d+\\b`, "g")) ?? []).map((id) => ({ id, place }));
      });
      const missing = ids
        .filter((id) => !cited.some((citation) => citation.id === id))
        .map((id) => `packages/${name}: no test cites ${id}`);
      const strange = cited
        .filter(({ id }) => !ids.includes(id))
        .map(({ id, place }) => `${place}: there is no invariant ${id}`);
      return [...missing, ...strange];
    });
  };
}
