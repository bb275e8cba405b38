/** A program for pod.test.ts that has nothing more to do. */
process.stdout.write("done\n");
