# A tool for test/tools/debian.test.ts: `tool.exs PAGE DIRECTORY` writes a client assertion for each line of its input.
[page, directory] = System.argv()
[{module, _}] = Code.require_file(page)
for _ <- IO.stream(:stdio, :line), do: IO.puts(module.sign(directory))
