// The sub-commands of `rotor`, one file each. argv[0] is "rotor COMMAND".
#pragma once

namespace rotor::runtime::cli {

int bench(int argc, char** argv);
int chat(int argc, char** argv);
int chat_template(int argc, char** argv);
int classify(int argc, char** argv);
int devices(int argc, char** argv);
int doctor(int argc, char** argv);
int embed(int argc, char** argv);
int info(int argc, char** argv);
int logits(int argc, char** argv);
int perplexity(int argc, char** argv);
int rag(int argc, char** argv);
int run(int argc, char** argv);
int serve(int argc, char** argv);
int tokenize(int argc, char** argv);
int verify(int argc, char** argv);

}  // namespace rotor::runtime::cli
