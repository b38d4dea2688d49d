/** The text below the heading of a version in a changelog of the form of https://keepachangelog.com, without the heading. */
export function sectionOf(changelog: string, version: string): string | undefined {
  const [, ...sections] = changelog.split(/^## (?=\[)/m);
  const section = sections.find((each) => each.startsWith(`[${version}]`));
  return section === undefined ? undefined : section.slice(section.indexOf('\n')).trim();
}
