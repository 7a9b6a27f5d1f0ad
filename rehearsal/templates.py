"""Jinja templates and the style sheet of the rehearsal Hub's pages (pages.py fills them in, escaped)."""

BASE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }} · Rehearsal Hub</title>
<link rel="stylesheet" href="/-/style.css">
</head>
<body>
<p class="banner" role="note"><strong>Rehearsal Hub</strong> - this is what would be public.
Nothing here has left this computer.</p>
<header><a class="home" href="/">Rehearsal Hub</a></header>
<main>{% block main %}{% endblock %}</main>
</body>
</html>"""

LISTED = """{% macro listed(repo, commit, summary, kind="") %}
<li><a class="name" href="{{ path(repo) }}">{{ repo.id }}</a>
<span class="badge {{ badge(repo.private) }}">{{ badge(repo.private) }}</span>
{% if kind %}
<span class="quiet">{{ kind }}</span>
{% endif %}
{% if summary %}
<p>{{ summary }}</p>
{% endif %}
<p class="quiet">{{ commit.tree|length }} file{{ "s" if commit.tree|length != 1 }}
· {{ commit.tree.values()|sum(attribute="size")|bytes }}
· <time>{{ commit.date|moment }}</time></p></li>
{% endmacro %}"""

INDEX = """{% extends "base" %}
{% from "listed" import listed %}
{% block main %}
<h1>Repositories</h1>
{% for kind, repos in kinds %}
<section>
<h2>{{ kind }} <span class="count">{{ repos|length }}</span></h2>
{% if repos %}
<ul class="repos">
{% for repo, commit, summary in repos %}
{{ listed(repo, commit, summary) }}
{% endfor %}
</ul>
{% else %}
<p class="quiet">None yet.</p>
{% endif %}
</section>
{% endfor %}
<section>
<h2>collections <span class="count">{{ collections|length }}</span></h2>
{% if collections %}
<ul class="repos">
{% for found in collections %}
<li><a class="name" href="/collections/{{ found.slug|address }}">{{ found.title }}</a>
<span class="badge {{ badge(found.private) }}">{{ badge(found.private) }}</span>
<p class="quiet">{{ found.owner }} · {{ found["items"]|length }} item{{ "s" if found["items"]|length != 1 }}</p></li>
{% endfor %}
</ul>
{% else %}
<p class="quiet">None yet.</p>
{% endif %}
</section>
{% endblock %}"""

COLLECTION = """{% extends "base" %}
{% from "listed" import listed %}
{% block main %}
<p class="quiet">collection of {{ collection.owner }}</p>
<h1>{{ collection.title }}
<span class="badge {{ badge(collection.private) }}">{{ badge(collection.private) }}</span></h1>
{% if collection.description %}
<p>{{ collection.description }}</p>
{% endif %}
<ol class="repos">
{% for item, repo, commit, summary in items %}
{{ listed(repo, commit, item.note.text if item.note else summary, item.type) }}
{% endfor %}
</ol>
{% endblock %}"""

REPO = """{% extends "base" %}
{% block main %}
<p class="quiet">{{ repo.kind }}</p>
<h1>{{ repo.id }} <span class="badge {{ badge(repo.private) }}">{{ badge(repo.private) }}</span></h1>
{% if repo.kind == "spaces" %}
<p class="note">A {{ repo.sdk }} Space. Its files are stored here; it does not run here.</p>
{% endif %}
<nav class="refs" aria-label="Branches and tags">
{% for kind, names in refs if names %}
<span class="quiet">{{ kind }}</span>
{% for name in names %}
<a href="{{ path(repo) }}/tree/{{ name|segment }}"{{ ' aria-current="page"'|safe if name == revision }}>{{ name }}</a>
{% endfor %}
{% endfor %}
</nav>
<p class="quiet">Commit <code>{{ commit.oid[:12] }}</code> · {{ commit.title }}
· <time>{{ commit.date|moment }}</time></p>
{% if rows %}
<details class="front" open><summary>Metadata</summary>
<table>
{% for key, value in rows %}
<tr><th scope="row">{{ key }}</th><td>{{ value }}</td></tr>
{% endfor %}
</table></details>
{% endif %}
{% for text in problems %}
<p class="note">{{ text }}</p>
{% endfor %}
<article class="card">
{% if card %}
{{ card }}
{% else %}
<p class="quiet">No README.md: this revision has no card.</p>
{% endif %}
</article>
<h2 id="files">Files <span class="count">{{ commit.tree|length }}</span></h2>
<table class="files">
{% for name, entry in files %}
<tr><td><a href="{{ files_url }}{{ name|address }}">{{ name }}</a>
{% if entry.lfs %}
<span class="badge">LFS</span>
{% endif %}
</td><td class="size">{{ entry.size|bytes }}</td></tr>
{% endfor %}
</table>
<h2 id="commits">Commits</h2>
<ol class="commits">
{% for step in commits %}
<li><a href="{{ path(repo) }}/tree/{{ step.oid }}"><code>{{ step.oid[:8] }}</code></a> {{ step.title }}
<time class="quiet">{{ step.date|moment }}</time></li>
{% endfor %}
</ol>
{% endblock %}"""

MISSING = """{% extends "base" %}
{% block main %}
<h1>Not here</h1>
<p>{{ message }}</p>
<p><a href="/">All repositories</a></p>
{% endblock %}"""

STYLE = """
:root { color-scheme: light dark; --text: #1c2430; --quiet: #5d6879; --paper: #fff; --raised: #f5f7fa;
  --line: #dde3ea; --link: #0b5cad; --accent: #b45309; --public: #166534; --private: #6b21a8; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e9ee; --quiet: #9aa5b4; --paper: #12161c; --raised: #1b212a;
    --line: #303a47; --link: #7cb8ff; --accent: #fbbf24; --public: #86efac; --private: #d8b4fe; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--text); font: 16px/1.6 system-ui, sans-serif; }
.banner { margin: 0; padding: .55rem 1rem; text-align: center; background: var(--raised);
  border-bottom: 2px solid var(--accent); }
header, main { max-width: 60rem; margin: 0 auto; padding: 0 1rem; }
header { padding-top: 1rem; }
main { padding-bottom: 4rem; }
a { color: var(--link); text-underline-offset: .15em; overflow-wrap: anywhere; }
.home { font-weight: 600; text-decoration: none; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: .6rem 0; overflow-wrap: anywhere; }
h2 { margin-top: 2rem; font-size: 1.25rem; }
section > h2 { text-transform: capitalize; }
.quiet, .count { color: var(--quiet); font-size: .9rem; font-weight: 400; margin: .1rem 0; }
.badge { font-size: .75rem; font-weight: 600; padding: .1rem .5rem; border: 1px solid currentColor;
  border-radius: 1rem; color: var(--quiet); vertical-align: middle; white-space: nowrap; }
.badge.public { color: var(--public); }
.badge.private { color: var(--private); }
.repos { list-style: none; padding: 0; display: grid; gap: .8rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); }
.repos li { padding: .9rem 1rem; border: 1px solid var(--line); border-radius: .6rem; background: var(--raised); }
.repos p { margin: .3rem 0 0; }
.name { font-weight: 600; }
.note { padding: .5rem .8rem; border-left: 3px solid var(--accent); background: var(--raised); }
.refs { display: flex; flex-wrap: wrap; gap: .4rem .6rem; align-items: baseline; margin: .8rem 0; }
.refs a { padding: .1rem .6rem; border: 1px solid var(--line); border-radius: .4rem; font-size: .9rem;
  text-decoration: none; }
.refs a[aria-current] { background: var(--link); color: var(--paper); border-color: var(--link); }
.card { margin: 1rem 0; padding: .4rem 1.2rem; border: 1px solid var(--line); border-radius: .6rem;
  overflow-x: auto; }
.card img { max-width: 100%; height: auto; }
pre { padding: .8rem; overflow-x: auto; background: var(--raised); border-radius: .4rem; line-height: 1.45; }
code { font: .88em ui-monospace, monospace; }
blockquote { margin-left: 0; padding-left: 1rem; border-left: 3px solid var(--line); }
table { border-collapse: collapse; }
th, td { padding: .3rem .7rem; border: 1px solid var(--line); text-align: left; vertical-align: top; }
.front { font-size: .9rem; }
.front td { white-space: pre-wrap; overflow-wrap: anywhere; }
.files { width: 100%; }
.size { text-align: right; white-space: nowrap; color: var(--quiet); }
.commits { padding-left: 1.4rem; }
summary { cursor: pointer; margin-bottom: .4rem; }
"""
