<?php
// A tool for test/tools/debian.test.ts: `tool.php PAGE DIRECTORY` writes a client assertion for each line of its input.
[, $page, $directory] = $argv;
foreach (glob("$page/*.php") as $file) {
    require $file;
}
while (fgets(STDIN) !== false) {
    echo client_assertion($directory), "\n";
}
