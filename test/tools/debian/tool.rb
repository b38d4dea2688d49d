# A tool for test/tools/debian.test.ts: `tool.rb PAGE DIRECTORY` writes a client assertion for each line of its input.
require ARGV[0]
$stdout.sync = true
puts client_assertion(ARGV[1]) while $stdin.gets
