// rotor chat-template: the text that a chat becomes for a model, to see what a template does.
#include "rotor/text/chat_template.h"

#include <cstdio>
#include <filesystem>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/formats/lora_config.h"
#include "rotor/formats/mapped_file.h"
#include "rotor/formats/ordered_json.h"
#include "rotor/formats/rotor_file.h"
#include "rotor/text/model_text.h"
#include "rotor/text/open_source.h"
#include "rotor/tool/options.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/model_options.h"

namespace rotor::runtime::cli {
namespace {

constexpr const char* kChatTemplateExamples =
    "  rotor chat-template model.rotor --messages chat.json\n"
    "  rotor chat-template chat_template.jinja --messages chat.json --tools tools.json\n"
    "  rotor chat-template DIRECTORY --messages chat.json --no-generation-prompt --answers\n"
    "  rotor chat-template template.jinja --messages chat.json --set '{\"bos_token\": \"<s>\"}'\n"
    "where chat.json holds [{\"role\": \"user\", \"content\": \"Hello\"}]\n";

text::ChatTemplate template_of(const text::ModelText& text, const std::string& path) {
  auto found = text::chat_template(text, path);
  if (!found) fail(path, ": there is no chat template in it");
  return *std::move(found);
}

/// The first bytes of a file, in which a text has no zeros, but a .rotor file's length of its header has.
std::string read_beginning(const std::string& path) {
  const MappedFile file(path);
  return std::string(file.text().substr(0, 8));
}

/// Of a checkpoint or adapter directory, a .rotor or GGUF file, or the file of a template alone.
text::ChatTemplate open_template(const std::string& path) {
  const bool is_directory = std::filesystem::is_directory(path);
  if (is_directory && std::filesystem::exists(path + "/" + kAdapterConfigFile)) {
    return template_of(text::adapter_text(path), path);
  }
  const std::string beginning = is_directory ? "" : read_beginning(path);
  if (is_directory || beginning.starts_with("GGUF")) {
    const text::SourceOptions options{.gguf = {.i2s_order = I2sOrder::x86, .ignore_unknown = true}};
    return template_of(text::open_source(path, options).text, path);
  }
  if (beginning.find('\0') == std::string::npos) return text::ChatTemplate(read_text_file(path), path);
  const RotorFile file(path);
  return template_of(text::model_text(file), path);
}

}  // namespace

int chat_template(int argc, char** argv) {
  cxxopts::Options options(
      "rotor chat-template",
      "Prints the text that a chat becomes by a model's chat template, as Hugging Face's\n"
      "apply_chat_template makes it.");
  options.add_options()("template",
                        "model file, checkpoint or adapter directory, or file of a Jinja template",
                        cxxopts::value<std::string>())("messages", "JSON file: an array of messages",
                                                       cxxopts::value<std::string>())(
      "tools", "JSON file: an array of descriptions of tools", cxxopts::value<std::string>())(
      "documents", "JSON file: an array of documents", cxxopts::value<std::string>())(
      "set", "JSON object of further variables", cxxopts::value<std::string>())(
      "name", "which template, if there are several (default: as the chat needs)",
      cxxopts::value<std::string>())("no-generation-prompt", "do not end with what begins an answer")(
      "continue", "end with the last message, which is to go on")(
      "answers", "print JSON: the text, and the bytes of it that are the assistant's answers");
  const auto parsed = tool::parse_options(options, argc, argv, {"template"}, kChatTemplateExamples);
  if (!parsed) return 0;
  if (parsed->count("messages") == 0)
    throw tool::UsageError("expected --messages FILE; see rotor chat-template --help");
  const auto file = [&](const char* name) {
    return parsed->count(name) == 0 ? OrderedJson()
                                    : read_ordered_json_file((*parsed)[name].as<std::string>());
  };
  text::ChatOptions chat;
  chat.continue_final_message = parsed->count("continue") != 0;
  chat.add_generation_prompt = !chat.continue_final_message && parsed->count("no-generation-prompt") == 0;
  chat.tools = file("tools");
  chat.documents = file("documents");
  if (parsed->count("set") != 0)
    chat.variables = parse_ordered_json((*parsed)["set"].as<std::string>(), "--set");
  if (parsed->count("name") != 0) chat.name = (*parsed)["name"].as<std::string>();
  const text::ChatTemplate chat_template = open_template((*parsed)["template"].as<std::string>());
  const OrderedJson messages = file("messages");
  if (parsed->count("answers") == 0) {
    const std::string text = chat_template.render(messages, chat);
    std::fwrite(text.data(), 1, text.size(), stdout);
    return 0;
  }
  const text::ChatText text = chat_template.render_with_answers(messages, chat);
  Json json = {{"text", text.text}, {"answers", Json::array()}};
  for (const text::Span& span : text.answers) json["answers"].push_back({span.begin, span.end});
  std::printf("%s\n", dump_json(json).c_str());
  return 0;
}

}  // namespace rotor::runtime::cli
