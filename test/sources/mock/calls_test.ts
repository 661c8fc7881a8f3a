import { describe, expect, test } from "bun:test";
import { EMPTY_TURN, type Message, type Turn } from "../../../src/core/turn.ts";
import { type ToolsMode, wantedCalls } from "../../../src/sources/mock/calls.ts";

function tool(name: string) {
  return { type: "function", function: { name, parameters: { type: "object" } } };
}

const USER: Message = { role: "user", content: "What is the weather?" };

/** An assistant's calls, and their results. */
function called(...names: readonly string[]): readonly Message[] {
  return [
    {
      role: "assistant",
      content: null,
      tool_calls: names.map((name) => ({
        id: name,
        type: "function",
        function: { name, arguments: "{}" },
      })),
    },
    ...names.map((name) => ({ role: "tool", tool_call_id: name, content: "done" })),
  ];
}

const TOOLS = [tool("get_weather"), tool("get_time"), tool("submit_and_exit")];
const OLD = { functions: [{ name: "f" }, { name: "g" }] };

/** What is called first, and how many; "" = nothing. */
function calls(
  mode: ToolsMode,
  params: Turn["params"],
  messages: readonly Message[] = [USER],
): string {
  const { tools, count } = wantedCalls({ ...EMPTY_TURN, messages, params }, mode);
  return tools.slice(0, count).map(({ name }) => name).join(" ");
}

describe("wantedCalls()", () => {
  const rows: readonly (readonly [
    what: string,
    params: Turn["params"],
    messages: readonly Message[],
    forced: string,
    auto: string,
  ])[] = [
    ["no tools", {}, [USER], "", ""],
    ["tools", { tools: TOOLS }, [USER], "", "get_weather"],
    ["auto", { tools: TOOLS, tool_choice: "auto" }, [USER], "", "get_weather"],
    ["none", { tools: TOOLS, tool_choice: "none" }, [USER], "", ""],
    ["required", { tools: TOOLS, tool_choice: "required" }, [USER], "get_weather", "get_weather"],
    [
      "a name",
      { tools: TOOLS, tool_choice: { type: "function", function: { name: "get_time" } } },
      [USER],
      "get_time",
      "get_time",
    ],
    [
      "the name of a custom tool",
      {
        tools: [{ type: "custom", custom: { name: "c" } }],
        tool_choice: { type: "custom", custom: { name: "c" } },
      },
      [USER],
      "c",
      "c",
    ],
    [
      "a name that is not declared",
      { tools: TOOLS, tool_choice: { type: "function", function: { name: "x" } } },
      [USER],
      "x",
      "x",
    ],
    ...(["function", "flat"] as const).map((spelling) =>
      [
        `allowed tools, required, ${spelling}`,
        {
          tools: TOOLS,
          tool_choice: spelling === "flat"
            ? {
              type: "allowed_tools",
              mode: "required",
              tools: [{ type: "function", name: "get_time" }],
            }
            : {
              type: "allowed_tools",
              allowed_tools: { mode: "required", tools: [tool("get_time")] },
            },
        },
        [USER],
        "get_time",
        "get_time",
      ] as const
    ),
    [
      "allowed tools, auto",
      {
        tools: TOOLS,
        tool_choice: {
          type: "allowed_tools",
          allowed_tools: { mode: "auto", tools: [tool("get_time")] },
        },
      },
      [USER],
      "",
      "get_time",
    ],
    ["functions", OLD, [USER], "", "f"],
    ["function_call: auto", { ...OLD, function_call: "auto" }, [USER], "", "f"],
    ["function_call: none", { ...OLD, function_call: "none" }, [USER], "", ""],
    ["a function's name", { ...OLD, function_call: { name: "g" } }, [USER], "g", "g"],
    ["a result", { tools: TOOLS }, [USER, ...called("get_weather")], "", ""],
    [
      "the result of a function",
      OLD,
      [USER, { role: "assistant", content: null, function_call: { name: "f", arguments: "{}" } }, {
        role: "function",
        name: "f",
        content: "x",
      }],
      "",
      "",
    ],
    [
      "a result with a reminder behind it",
      { tools: TOOLS },
      [USER, ...called("get_weather"), { role: "user", content: "Go on." }],
      "",
      "",
    ],
    [
      "the next question",
      { tools: TOOLS },
      [USER, ...called("get_weather"), { role: "assistant", content: "Rain." }, USER],
      "",
      "submit_and_exit",
    ],
    [
      "required, and a result: the tool that ends the work",
      { tools: TOOLS, tool_choice: "required" },
      [USER, ...called("get_weather")],
      "submit_and_exit",
      "submit_and_exit",
    ],
    [
      "required, and a result: the one that was not called",
      { tools: TOOLS.slice(0, 2), tool_choice: "required" },
      [USER, ...called("get_weather")],
      "get_time",
      "get_time",
    ],
    [
      "required, and all were called",
      { tools: TOOLS.slice(0, 2), tool_choice: "required" },
      [USER, ...called("get_weather"), ...called("get_time")],
      "get_weather",
      "get_weather",
    ],
    [
      "a tool that the user names",
      { tools: TOOLS },
      [{ role: "user", content: "Call get_time, please" }],
      "",
      "get_time",
    ],
    [
      "two that the user names, in the words of a part",
      { tools: TOOLS, tool_choice: "required" },
      [{ role: "user", content: [{ type: "text", text: "Get time and `get_weather`." }] }],
      "get_weather get_time",
      "get_weather get_time",
    ],
    [
      "names in an agent's own notes",
      { tools: TOOLS },
      [{
        role: "user",
        content: "<system-reminder>get_weather</system-reminder>Call get_time" +
          "<system-reminder>submit_and_exit</system-reminder>, please<system-reminder>get_weather",
      }],
      "",
      "get_time",
    ],
    [
      "two, and only one at a time",
      { tools: TOOLS, parallel_tool_calls: false },
      [{ role: "user", content: "get_time and get_weather" }],
      "",
      "get_weather",
    ],
    [
      "a part of a name",
      { tools: [tool("time"), tool("get")] },
      [{ role: "user", content: "timetable" }],
      "",
      "time",
    ],
  ];
  for (const [what, params, messages, forced, auto] of rows) {
    test(`${what}: ${forced || "nothing"}; auto: ${auto || "nothing"}`, () => {
      expect(calls("forced", params, messages)).toBe(forced);
      expect(calls("auto", params, messages)).toBe(auto);
    });
  }

  test("an agent that must call a tool each time comes to its end", () => {
    const messages: Message[] = [USER];
    const said: string[] = [];
    while (said.at(-1) !== "submit_and_exit" && said.length < 10) {
      said.push(calls("forced", { tools: TOOLS, tool_choice: "required" }, messages));
      messages.push(...called(said.at(-1)!));
    }
    expect(said).toEqual(["get_weather", "submit_and_exit"]);
  });

  const endings: readonly (readonly [string, boolean])[] = [
    ["submit_and_exit", true],
    ["attempt_completion", true],
    ["final_result", true],
    ["StructuredOutput", true],
    ["finish", true],
    ["get_weather", false],
    ["undone", false],
    ["get_answers_list", false],
  ];
  for (const [name, isEnding] of endings) {
    test(`${name} ${isEnding ? "ends" : "does not end"} the work`, () => {
      const params = { tools: [tool("other"), tool(name)], tool_choice: "required" };
      const messages = [USER, ...called(name), USER];
      expect(calls("forced", params, messages)).toBe(isEnding ? name : "other");
    });
  }
});
