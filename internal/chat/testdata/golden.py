#!/usr/bin/env python3
"""Writes jinja2.json: what Jinja2, set up as transformers sets it up for chat templates, makes of the templates below.

    python3 golden.py        needs the package jinja2

Each case is a template over the variables DATA; its result is a text, or null where Jinja2 refuses.
"""
import json
import os

import jinja2
import jinja2.ext
import jinja2.sandbox


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.Scope(body).set_lineno(line)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


env = jinja2.sandbox.ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
env.filters["tojson"] = tojson
env.globals["raise_exception"] = raise_exception

DATA = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "  Häuser & <b>\"tags\"</b>\n  two lines \n"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "a1", "function": {"name": "add", "arguments": {"z": 1, "a": [1.5, True, None, "x\u2028\u0001"], "e": {}, "l": []}}}]},
        {"role": "user", "content": [{"type": "text", "text": "part"}, {"type": "image"}]},
    ],
    "s": "one two  three", "u": "äöü", "n": 7, "f": 2.0, "yes": True, "empty": "", "nothing": None, "d": {"b": 2, "a": 1, "items": 3},
    "l": [3, 1, 2], "words": ["b", "A", "c", "a"], "bos_token": "<s>", "add_generation_prompt": True,
}

CHATML = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nHelp.<|im_end|>\n' }}"
          "{% endif %}{{'<|im_start|>' + message['role'] + '\n' ~ message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")

CASES = [
    # white space
    "a\n  {% if yes %}\n  b\n  {% endif %}\nc\n", "a\n  {{ n }}\n  b", "a  {%- if yes -%}  b  {%- endif -%}  c", "a {#- c -#} b", "x {# c #}\ny",
    "  {%+ if yes %}x{% endif +%}\ny", "{% if yes %}\n\nx{% endif %}\n\n", "a\n\n", "a\r\nb\rc", "{{ n -}}   \n x", "x   {{- n }}", "  {# c #}  {% if yes %}z{% endif %}",
    "{% raw %}{{ x }} {% if %}{% endraw %}!", "{%- raw -%}  a  {%- endraw -%}  b", "{{ 'a' }}  {% if yes %}b{% endif %}", "\n  {% set x = 1 %}\n\n  {{ x }}\n",
    # literals
    "{{ 'a\\n\\'\\x41\\u00e4\\\\' }}", '{{ "a" \'b\' }}', "{{ 1_000 }} {{ 0x1f }} {{ 1e3 }} {{ 1.50 }} {{ 2e-7 }} {{ 1e16 }} {{ 123456789.0 }}", "{{ true }} {{ True }} {{ none }} {{ None }}",
    "{{ [1, 'a', \"it's\", none, [true], (1,), (), (1, 2), {'k': 'v\\n'}] }}", "{{ {} }} {{ [] }} {{ {'a': {'b': 1}}.a.b }}", "{{ 1, 2 }}", "{{ {'a': 1, 'a': 2} }}",
    # variables
    "{{ missing }}|{{ messages[2].content }}|{{ messages[0].nope }}", "{{ missing.x }}", "{{ nothing.x }}|{{ nothing['x'] }}", "{{ messages[9] }}", "{{ messages[9].x }}",
    "{{ messages[-1].role }} {{ messages[-4]['role'] }} {{ messages[-5] }}", "{{ d['items'] }} {{ d.b }}", "{{ s[0] }}{{ u[1] }}{{ u[-1] }}{{ s[99] }}",
    "{{ s.__class__ }}", "{{ ''.__class__.__mro__ }}", "{{ messages.0.role }}", "{{ missing['a'] }}", "{{ n.x }}",
    # operators
    "{{ 1 + 2 * 3 - 4 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 // -2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }}", "{{ 1 / 0 }}", "{{ 1 % 0 }}", "{{ 2 + 3 ~ 4 + 1 }}",
    "{{ 'a' + 1 }}", "{{ 'a' ~ 1 ~ none ~ missing }}", "{{ 'a' + missing }}", "{{ 'ab' * 3 }}{{ 2 * 'x' }}{{ 'x' * -1 }} {{ [1] * 2 }} {{ true + 1 }}", "{{ [1] + [2] }} {{ (1,) + (2,) }}", "{{ [1] + (2,) }}",
    "{{ 'a %s b %d %%' % ('x', 3) }} {{ '%s' % 'y' }}", "{{ '%s %s' % 'y' }}", "{{ -n }} {{ +n }} {{ --n }} {{ -n|abs }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }}",
    "{{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' == 'a' }} {{ none == missing }} {{ missing == other }} {{ [1, [2]] == [1, [2]] }} {{ [1] == (1,) }} {{ d == d }} {{ 1 != '1' }}",
    "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 'a' < 'b' }} {{ 'B' < 'a' }} {{ 1.5 >= 1 }}", "{{ 1 < 'a' }}", "{{ none < 1 }}", "{{ missing < 1 }}",
    "{{ 'a' in 'abc' }} {{ 'x' not in 'abc' }} {{ 1 in l }} {{ 'a' in d }} {{ 'a' in missing }} {{ 2 in['a'] }} {{ not 1 in l }}", "{{ 1 in 'abc' }}", "{{ 'a' in none }}",
    "{{ not 0 }} {{ not 'a' }} {{ not not 1 }} {{ 0 or 'x' }} {{ '' and 'x' }} {{ 'a' and 'b' }} {{ [] or {} or missing or 'end' }} {{ (1) or(2) }}",
    "{{ 'a' if yes else 'b' }} {{ ('a' if not yes else 'b') + 'c' }} {{ 'a' if false }} {{ 'a' if false else 'b' if false else 'c' }} {{ ['x' if yes else 'y'][0] }}",
    "{{ s[:3] }} {{ s[4:] }} {{ s[-5:] }} {{ s[::-1] }} {{ l[1:] }} {{ l[:-1] }} {{ l[::2] }} {{ l[5:] }} {{ messages[1:]|length }} {{ u[1:2] }} {{ l[-9:9] }} {{ l[2:0:-1] }} {{ l[none:1] }}", "{{ missing[1:] }}", "{{ l[::0] }}",
    "{{ 9223372036854775807 }}",
    # statements
    "{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }};{% endfor %}",
    "{% for a in l %}{{ loop.previtem }}<{{ a }}>{{ loop.nextitem }}{{ loop.cycle('x', 'y') }}{{ loop.changed(a > 1) }} {% endfor %}", "{% for k, v in d.items() %}{{ k }}={{ v }},{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}",
    "{% for c in u %}{{ c }}.{% endfor %}", "{% for x in missing %}x{% else %}none{% endfor %}", "{% for x in nothing %}x{% endfor %}", "{% for x in 3 %}x{% endfor %}", "{% for a, b in [(1, 2), [3, 4]] %}{{ a }}{{ b }} {% endfor %}", "{% for a, b in [1] %}{% endfor %}",
    "{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ m.role }}{% else %}no{% endfor %}", "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "{% for x in l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in range(3) %}{% for y in range(x) %}{{ x }}{{ y }}{{ loop.depth }} {% if y == 1 %}{% break %}{% endif %}{% endfor %}{% endfor %}", "{{ range(5)|list }} {{ range(1, 8, 3)|list }} {{ range(3, 0, -1)|list }} {{ range(0)|list }}", "{{ range(1, 2, 0) }}",
    "{% set x = 1 %}{% for i in l %}{% set x = i %}{{ x }}{% endfor %}{{ x }}", "{% set ns = namespace(a=1, b='x') %}{% for i in l %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c }}",
    "{% if yes %}{% set y = 5 %}{% endif %}{{ y }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set (a, b) = [3, 4] %}{{ a }}{{ b }}", "{% set t %} in {{ n }} {% endset %}[{{ t }}]", "{% set t | trim | upper %} in {% endset %}[{{ t }}]", "{% set d.x = 1 %}",
    "{% if n > 9 %}a{% elif n > 5 %}b{% else %}c{% endif %}", "{% if n > 9 %}a{% elif n > 8 %}b{% else %}c{% endif %}", "{% if missing %}a{% endif %}b", "{% if d and not {} and not [] and not '' and not 0.0 and not none %}ok{% endif %}",
    "{% macro m(a, b='x', c=none) %}{{ a }}-{{ b }}-{{ c }};{% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(a=1, c=3) }}{{ m() }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(x=2) }}",
    "{% macro f(k) %}{{ k }}{% if k > 0 %}{{ f(k - 1) }}{% endif %}{% endmacro %}{{ f(4) }}", "{% set g = 1 %}{% macro m() %}{{ g }}{% endmacro %}{{ m() }}", "{% macro m() %} x {% endmacro %}{{ m()|trim ~ m().strip() ~ '!' }}", "{% for i in l %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% generation %}x{% set q = 1 %}{% endgeneration %}{{ q }}", "{{ raise_exception('no ' ~ n) }}", "{{ missing() }}", "{{ s() }}", "{{ 'a'.nope() }}", "{{ l.append(4) }}", "{{ d.update({'x': 1}) }}", "{% set _ = l.pop() %}",
    # tests
    "{{ s is defined }} {{ missing is defined }} {{ missing is undefined }} {{ nothing is defined }} {{ nothing is none }} {{ d.x is defined }} {{ messages[0].tool_calls is not defined }} {{ nothing is not none }}",
    "{{ s is string }} {{ n is number }} {{ f is float }} {{ n is integer }} {{ yes is boolean }} {{ yes is integer }} {{ yes is number }} {{ d is mapping }} {{ l is sequence }} {{ s is sequence }} {{ l is iterable }} {{ n is iterable }} {{ range is callable }} {{ n is mapping }}",
    "{{ n is odd }} {{ n is even }} {{ n is divisibleby(7) }} {{ n is divisibleby 2 }} {{ yes is true }} {{ 1 is true }} {{ yes is false }} {{ n is eq(7) }} {{ n is equalto 7 }} {{ n is ne 7 }} {{ n is gt 6 }} {{ n is lt(6) }} {{ n is ge 7 }} {{ n is le 6 }} {{ 1 is in [1] }} {{ 1 is sameas 1 }} {{ 'a' is lower }} {{ 'A' is upper }}",
    "{{ s is string and n is number or missing is defined }}", "{{ 1 + n is odd }}", "{{ 'x' if n is odd else 'y' }}", "{{ n is nope }}", "{{ missing is string }} {{ missing is mapping }} {{ missing is iterable }} {{ missing is none }}", "{{ n is not odd }} {{ not n is odd }} {{ messages[3].content is string }}",
    # filters
    "[{{ '  a b '|trim }}] [{{ 'xxaxx'|trim('x') }}] {{ s|upper|lower|capitalize }} {{ 'ab cd-ef'|title }} {{ 'aXbX'|replace('X', '-') }} {{ 'aXbX'|replace('X', '-', 1) }}", "{{ s|length }} {{ l|count }} {{ d|length }} {{ missing|length }} {{ u|length }}", "{{ n|length }}",
    "{{ missing|default('x') }} {{ missing|d }} {{ empty|default('x') }} {{ empty|default('x', true) }} {{ nothing|default('x') }} {{ nothing|default('x', boolean=true) }} {{ missing.y|default('z') }}", "{{ missing|default(default_value='k') }}",
    "{{ l|first }} {{ l|last }} {{ s|first }} {{ []|first }} {{ u|last }}", "{{ l|join }} {{ l|join(', ') }} {{ messages|join(',', attribute='role') }} {{ 'abc'|join('-') }} {{ [1, none, 'a']|join(' ') }} {{ missing|join }}",
    "{{ l|sort }} {{ l|sort(reverse=true) }} {{ words|sort }} {{ words|sort(case_sensitive=true) }} {{ messages|sort(attribute='role')|map(attribute='role')|list }} {{ l|min }} {{ l|max }} {{ l|sum }} {{ ['b', 'A']|min }} {{ []|max }}", "{{ [1, 'a']|sort }}",
    "{{ l|reverse|list }} {{ 'abc'|reverse }} {{ 'abc'|list }} {{ d|list }} {{ (1, 2)|list }} {{ ['a', 'A', 'b', 'a']|unique|list }} {{ d|dictsort }} {{ d|items|list }}", "{{ missing|list }} {{ missing|items|list }}", "{{ nothing|list }}",
    "{{ words|map('upper')|list }} {{ messages|map(attribute='role')|join(' ') }} {{ messages|map(attribute='x', default='-')|join }} {{ [' a ', 'b']|map('trim')|map('length')|list }} {{ ['axa']|map('replace', 'x', 'y')|first }}", "{{ words|map('nope')|list }}",
    "{{ messages|selectattr('role', 'equalto', 'user')|list|length }} {{ messages|rejectattr('role', 'eq', 'user')|map(attribute='role')|list }} {{ l|select('odd')|list }} {{ l|reject('gt', 1)|list }} {{ [0, 1, '']|select|list }} {{ messages|selectattr('tool_calls')|list|length }} {{ messages|selectattr('tool_calls', 'defined')|list|length }} {{ messages|selectattr('content', 'string')|list|length }}",
    "{{ messages|map(attribute='role')|select('in', ['user'])|list }}", "{{ '3'|int }} {{ 'x'|int }} {{ 'x'|int(5) }} {{ 3.9|int }} {{ -3.9|int }} {{ '3.7'|int }} {{ '2.5'|float }} {{ 'x'|float }} {{ 3|float }} {{ none|int }} {{ missing|int }} {{ true|int }}",
    "{{ -3|abs }} {{ 2.5|abs }} {{ 2.567|round(2) }} {{ 2.5|round }} {{ 2.1|round(method='ceil') }} {{ 2.9|round(method='floor') }} {{ 42|round }}", "{{ n|string + '!' }} {{ none|string }} {{ [1]|string|length }} {{ 'a b  c'|wordcount }} {{ 'x'|safe }}",
    "{{ 'a\nb\n\nc'|indent }}|{{ 'a\nb'|indent(2, true) }}|{{ 'a\n\nb'|indent(1, blank=true) }}|{{ 'a\nb'|indent('> ') }}", "{{ n|nope }}", "{{ messages[2].tool_calls|tojson }}", "{{ messages[2].tool_calls|tojson(indent=2) }}", "{{ messages[1].content|tojson }} {{ 'a\"\\\\/\t\b\f\r'|tojson }}",
    "{{ {'b': 1, 'a': [1, {}]}|tojson(sort_keys=true, separators=(',', ':')) }} {{ 1.0|tojson }} {{ 1e22|tojson }} {{ none|tojson }} {{ (1, 'x')|tojson }} {{ []|tojson(indent=4) }} {{ [[]]|tojson(indent=1) }}", "{{ missing|tojson }}", "{{ range|tojson }}", "{{ -1|tojson }}",
    # methods
    "[{{ ' a '.strip() }}] [{{ ' a '.lstrip() }}] [{{ ' a '.rstrip() }}] [{{ 'xyaxy'.strip('yx') }}] [{{ '\u00a0\u2003a\x1c'.strip() }}] [{{ messages[1].content.strip() }}]", "{{ 'a,b,,c'.split(',') }} {{ s.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ' a  b c '.split(none, 1) }} {{ ' a  b c '.rsplit(maxsplit=1) }} {{ ''.split() }} {{ ''.split(',') }} {{ 'x</t>y'.split('</t>')[-1] }}", "{{ 'a'.split('') }}",
    "{{ s.startswith('one') }} {{ s.endswith(('x', 'ee')) }} {{ s.find('two') }} {{ s.find('x') }} {{ s.rfind('e') }} {{ u.find('ü') }} {{ s.count('e') }} {{ s.upper() }} {{ s.title() }} {{ 'aB'.capitalize() }} {{ 'aB'.lower() }} {{ s.replace('o', '0') }} {{ s.replace('o', '0', 1) }} {{ ''.replace('', 'x') }} {{ 'ab'.replace('', '-') }}", "{{ s.index('zz') }}",
    "{{ ','.join(['a', 'b']) }} {{ '-'.join('abc') }} {{ 'abc'.removeprefix('a').removesuffix('c') }} {{ '12'.isdigit() }} {{ ''.isdigit() }} {{ 'a1'.isalnum() }} {{ 'ab'.isalpha() }} {{ ' '.isspace() }} {{ 'aB'.islower() }} {{ 'AB'.isupper() }} {{ 'a\nb\r\nc\n'.splitlines() }} {{ 'a\nb'.splitlines(true) }}", "{{ ','.join([1]) }}",
    "{{ d.get('a') }} {{ d.get('x') }} {{ d.get('x', 5) }} {{ d.keys()|list }} {{ d.values()|list }} {{ d.items()|list }} {{ messages[0].get('content') }} {{ l.index(2) }} {{ l.count(3) }}", "{{ dict(a=1).a }} {{ dict(z=1, a=2) }} {{ dict(z=1, a=2)|tojson }}", "{{ d.copy().b }}",
    # faults in the text
    "{{ n", "{{ }}", "{% if %}", "{% if yes %}", "{% endif %}", "{% for x in %}{% endfor %}", "{% for x in l %}", "{% nope %}", "{{ 1 +* 2 }}", "{{ 'a }}", "{{ (1 }}", "{{ [1) }}", "{# x", "{{ a b }}", "{{ 1 @ 2 }}", "{% set %}", "{% raw %}x", "{% break %}", "{{ {'a' 1} }}", "{{ f(a=1, 2) }}", "{% macro m(a %}{% endmacro %}", "{% else %}", "{{ x. }}", "{{ x[ }}", "{% if yes %}{% else %}{% elif no %}{% endif %}",
    # whole templates
    CHATML.replace("~ message['content']", "~ (message.content or '')"),
    "{{ bos_token }}{%- for m in messages if m.content is string %}\n{{- '[' ~ m.role ~ '] ' }}\n  {%- if m.role == 'user' %}\n    {{- m.content | trim }}\n  {%- else %}\n    {{- m.content }}\n  {%- endif %}\n{%- endfor %}\n",
]


def result(template):
    try:
        return env.from_string(template).render(json.loads(json.dumps(DATA)))
    except Exception:  # whatever it is, it is a refusal
        return None


if __name__ == "__main__":
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "jinja2.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"made by": "golden.py with Jinja2 " + jinja2.__version__, "data": DATA,
                   "cases": [{"template": t, "text": result(t)} for t in CASES]}, f, ensure_ascii=True, indent=1)
        f.write("\n")
