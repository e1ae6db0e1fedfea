"""Render conversations as transformers does: python scripts/checktemplates OUTPUT FOLDER... Run it through scripts/check-templates.

OUTPUT gets the templates, the conversations, and for every template, conversation and add_generation_prompt the text, or what
the template itself says where it refuses, or that rendering fails.
"""

import json
import os
import sys

import jinja2
import transformers
from transformers.utils.chat_template_utils import render_jinja_template

from conversations import CONVERSATIONS

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"}


def main(output, folders):
    templates = {}
    for folder in folders:
        for path, _, files in os.walk(folder):
            for file in files:
                if file.endswith(".jinja"):
                    with open(os.path.join(path, file), encoding="utf-8", newline="") as f:
                        templates[os.path.relpath(os.path.join(path, file), folder)] = f.read()
    cases = []
    for name in sorted(templates):
        for conversation in CONVERSATIONS:
            for prompt in (False, True):
                case = {"template": name, "conversation": conversation["name"], "add_generation_prompt": prompt}
                cases.append(case | render(templates[name], conversation, prompt))
    with open(output, "w", encoding="utf-8") as f:
        json.dump({
            "made by": f"scripts/check-templates with transformers {transformers.__version__}, Jinja2 {jinja2.__version__}",
            "special": SPECIAL, "conversations": CONVERSATIONS, "templates": templates, "cases": cases,
        }, f, ensure_ascii=True, indent=1)
        f.write("\n")
    print(f"{output}: {len(templates)} templates, {len(cases)} renderings")


def render(template, conversation, prompt):
    """As apply_chat_template of a tokenizer with the tokens SPECIAL does it."""
    variables = SPECIAL | conversation.get("chat_template_kwargs", {})
    tools = variables.pop("tools", conversation.get("tools"))
    try:
        texts, _ = render_jinja_template([conversation["messages"]], tools=tools, chat_template=template, add_generation_prompt=prompt, **variables)
    except Exception as e:  # whatever it is, there is no text
        if type(e) is jinja2.exceptions.TemplateError:  # by raise_exception
            return {"refusal": e.message}
        return {"error": repr(e)}
    return {"text": texts[0]}


main(sys.argv[1], sys.argv[2:])
