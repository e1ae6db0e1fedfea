"""The conversations that scripts/check-templates renders."""

TOOLS = [
    {"type": "function", "function": {
        "name": "weather", "description": "The weather at a place, \"now\" & <today>.",
        "parameters": {"type": "object", "properties": {
            "place": {"type": "string", "description": "a town such as Ålesund"},
            "unit": {"type": "string", "enum": ["c", "f"]},
            "days": {"type": "integer"}}, "required": ["place"]}}},
    {"type": "function", "function": {"name": "now", "description": "The time.", "parameters": {"type": "object", "properties": {}}}},
]


def user(text, **more):
    return {"role": "user", "content": text, **more}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def system(text):
    return {"role": "system", "content": text}


def call(name, arguments, identity="abcd12345"):
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def answer(text, name="weather", identity="abcd12345"):
    return {"role": "tool", "name": name, "content": text, "tool_call_id": identity}


CONVERSATIONS = [
    {"name": "one question", "messages": [user("Who works at the inn?")]},
    {"name": "a question and its answer", "messages": [user("Who works at the inn?"), assistant("Hugo does.")]},
    {"name": "a system message", "messages": [system("Be brief."), user("Who works at the inn?"), assistant("Hugo.")]},
    {"name": "several turns", "messages": [
        system("Be brief."), user("Hi"), assistant("Hello!"), user("Who works at the inn?"), assistant("Hugo."), user("And at the mill?")]},
    {"name": "white space and other letters", "messages": [
        system("  \n"), user(" \tWhat does „Häuser“ mean?\r\n\n"), assistant("\n房子 🏠 \u00a0<b>houses</b> & 'more' \\n\n "), user("\u2028")]},
    {"name": "empty texts", "messages": [system(""), user(""), assistant(""), user("x")]},
    {"name": "marks of templates in the text", "messages": [
        user("<|im_end|></s>[INST] {{ 7 * 7 }} {% if %} <|eot_id|>"), assistant("<start_of_turn>user\n### Response:\n")]},
    {"name": "two users in a row", "messages": [user("a"), user("b"), assistant("c")]},
    {"name": "the assistant first", "messages": [assistant("Hello!"), user("Hi"), assistant("Yes?")]},
    {"name": "a system message in the middle", "messages": [user("a"), assistant("b"), system("c"), user("d"), assistant("e")]},
    {"name": "system alone", "messages": [system("Be brief.")]},
    {"name": "another role", "messages": [{"role": "developer", "content": "Be brief."}, user("Hi"), assistant("Hello!")]},
    {"name": "parts", "messages": [
        user([{"type": "text", "text": "What is this? "}, {"type": "text", "text": "Say it."}]), assistant([{"type": "text", "text": "A mill."}])]},
    {"name": "a picture", "messages": [user([{"type": "image"}, {"type": "text", "text": "What is this?"}]), assistant("A mill.")]},
    {"name": "reasoning", "messages": [user("2+2?"), assistant("4", reasoning_content="Two and two.\n"), user("3+3?"), assistant("6", reasoning_content="Three and three.")]},
    {"name": "reasoning under an older name", "messages": [user("2+2?"), assistant("4", thinking="Two and two."), user("3+3?"), assistant("6", reasoning="Three and three.")]},
    {"name": "reasoning in the text", "messages": [
        user("2+2?"), assistant("<think>\nTwo and two.\n</think>\n\n4"), user("3+3?"), assistant("<think>\nThree and three.\n</think>\n\n6")]},
    {"name": "no thinking", "messages": [system("Be brief."), user("2+2?"), assistant("4")], "chat_template_kwargs": {"enable_thinking": False}},
    {"name": "a date", "messages": [user("2+2?"), assistant("4")], "chat_template_kwargs": {"date_string": "01 Feb 2024", "thinking": True}},
    {"name": "tools", "messages": [system("Be brief."), user("Is it warm?")], "tools": TOOLS},
    {"name": "no tools but a list for them", "messages": [user("Is it warm?"), assistant("No.")], "tools": []},
    {"name": "a call of a tool", "messages": [
        user("Is it warm?"), assistant(None, tool_calls=[call("weather", {"place": "Ålesund", "days": 2, "x": [1.5, 1e-7, True, None], "e": {}})]), answer("-3.5 °C"), assistant("No, -3.5 °C.")], "tools": TOOLS},
    {"name": "a call beside a text", "messages": [
        user("Is it warm?"), assistant("I look.", tool_calls=[call("weather", {"place": "Oslo"})]), answer('{"c": 21}'), assistant("Yes."), user("Thanks")], "tools": TOOLS},
    {"name": "two calls", "messages": [
        user("Is it warm?"), assistant("", tool_calls=[call("weather", {"place": "Oslo"}, "aaaaaaaa1"), call("now", {}, "aaaaaaaa2")]),
        answer("21", "weather", "aaaaaaaa1"), answer("noon", "now", "aaaaaaaa2"), assistant("Yes.")], "tools": TOOLS},
    {"name": "arguments as text", "messages": [
        user("Is it warm?"), assistant("", tool_calls=[call("weather", '{"place": "Oslo"}')]), answer("21"), assistant("Yes.")], "tools": TOOLS},
    {"name": "documents", "messages": [user("Who works at the inn?"), assistant("Hugo.")],
     "chat_template_kwargs": {"documents": [{"title": "The inn", "text": "Hugo works at the inn."}, {"title": "The mill", "text": "Nobody."}]}},
]
