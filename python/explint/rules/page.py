"""The page of a rule in Markdown: ``explint rule NAME``, and the files under ``docs/rules``."""

from __future__ import annotations

from explint.model import CRITERIA, Rule, RuleStatus


def rule_page(rule: Rule) -> str:
    """The page, from the row and the docstring of a rule. Ends with a line break."""
    facts = [
        f"Code {rule.code}",
        f"severity {rule.severity}",
        f"confidence {rule.confidence}",
        f"since {rule.since}",
    ]
    if rule.status is not RuleStatus.STABLE:
        facts.append(str(rule.status))
    lines = [f"# {rule.name}", "", rule.summary, "", " · ".join(facts), ""]
    if rule.criteria:
        titles = [f"{n} ({CRITERIA[n].title})" for n in rule.criteria]
        lines += [f"Criterion {', '.join(titles)}", ""]
    if rule.profiles:
        lines += [f"Only under the profiles {', '.join(rule.profiles)}.", ""]
    return "\n".join([*lines, rule.doc.strip(), ""])
