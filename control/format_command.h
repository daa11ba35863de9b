/* `keeld format`: makes a ring and draws its identity. It takes no genesis (H1). */
#ifndef KEEL_FORMAT_COMMAND_H
#define KEEL_FORMAT_COMMAND_H

/* argv[0] is "format"; prints the identity on stdout, all else on stderr. An exit code of keeld. */
int format_command(int argc, char **argv);

#endif
