import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.file.Path;

/** A tool for test/tools/java.test.ts: it writes a client assertion for each line of its input. The test compiles code of docs/tools/java.md with it. */
public class Tool {
  public static void main(String[] arguments) throws Exception {
    var lines = new BufferedReader(new InputStreamReader(System.in));
    while (lines.readLine() != null) System.out.println(ClientAssertion.sign(Path.of(arguments[0])));
  }
}
