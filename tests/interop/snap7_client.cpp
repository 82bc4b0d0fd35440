/* snap7_client -- the native snap7 client for tests: snap7_client PORT RACK SLOT, then commands on standard input.
 *
 *   connect | disconnect | pdu (asked, negotiated) | info (module type and name) | status
 *   read AREA,NUMBER,START,AMOUNT,TYPE ...          several: one multi-item request
 *   write AREA,NUMBER,START,AMOUNT,TYPE,HEX ...
 *   area AREA,NUMBER,START,AMOUNT,TYPE              as many requests as snap7 needs for it
 *
 * TYPE is the code of S7comm (1 bit, 2 byte, 4 word, ...); START counts bits for type 1, elements for T and C, else
 * bytes. The answer is one line: "ok", or per item "ok:HEX" or "CODE", or "error CODE" with the code of snap7. Built by
 * tools/snap7-peer with the sources of snap7. */
#include "snap7.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

typedef std::vector<unsigned char> Bytes;

struct Item {
    TS7DataItem item;
    Bytes bytes;
};

static std::string
code(int error)
{
    char text[16];

    std::snprintf(text, sizeof text, "%08x", (unsigned)error);
    return text;
}

static std::string
to_hex(const Bytes &bytes)
{
    std::string out;
    char two[3];

    for (size_t i = 0; i < bytes.size(); i++) {
        std::snprintf(two, sizeof two, "%02x", bytes[i]);
        out += two;
    }
    return out;
}

static int
area_of(const std::string &name)
{
    static const std::map<std::string, int> codes = {{"I", S7AreaPE}, {"Q", S7AreaPA}, {"M", S7AreaMK},
                                                     {"C", S7AreaCT}, {"T", S7AreaTM}, {"DB", S7AreaDB}};
    std::map<std::string, int>::const_iterator it = codes.find(name);

    return it == codes.end() ? 0 : it->second;
}

static size_t
bytes_of(int type)
{
    return type <= 3 ? 1 : type == 4 || type == 5 || type > 8 ? 2 : 4;
}

static Item
read_item(std::string word)
{
    Item it;
    std::vector<std::string> parts;
    std::istringstream in(word);

    for (std::string part; std::getline(in, part, ',');)
        parts.push_back(part);
    parts.resize(6);
    std::memset(&it.item, 0, sizeof it.item);
    it.item.Area = area_of(parts[0]);
    it.item.DBNumber = std::atoi(parts[1].c_str());
    it.item.Start = std::atoi(parts[2].c_str());
    it.item.Amount = std::atoi(parts[3].c_str());
    it.item.WordLen = std::atoi(parts[4].c_str());
    it.bytes.assign((size_t)it.item.Amount * bytes_of(it.item.WordLen), 0);
    for (size_t i = 0; i < it.bytes.size() && 2 * i + 1 < parts[5].size(); i++)
        it.bytes[i] = (unsigned char)std::strtoul(parts[5].substr(2 * i, 2).c_str(), NULL, 16);
    return it;
}

static std::string
items(S7Object client, std::istringstream &in, bool is_write)
{
    std::vector<Item> list;
    std::vector<TS7DataItem> raw;
    std::string answer;

    for (std::string word; in >> word;)
        list.push_back(read_item(word));
    for (size_t i = 0; i < list.size(); i++) {
        list[i].item.pdata = list[i].bytes.data();
        raw.push_back(list[i].item);
    }
    int err = is_write ? Cli_WriteMultiVars(client, raw.data(), (int)raw.size())
                       : Cli_ReadMultiVars(client, raw.data(), (int)raw.size());
    if (err != 0)
        return "error " + code(err);
    for (size_t i = 0; i < list.size(); i++)
        answer += (i ? " " : "") + (raw[i].Result ? code(raw[i].Result) : is_write ? "ok" : "ok:" + to_hex(list[i].bytes));
    return answer;
}

static std::string
area(S7Object client, std::istringstream &in)
{
    std::string word;
    in >> word;
    Item it = read_item(word);
    int err = Cli_ReadArea(client, it.item.Area, it.item.DBNumber, it.item.Start, it.item.Amount, it.item.WordLen,
                           it.bytes.data());

    return err ? "error " + code(err) : "ok:" + to_hex(it.bytes);
}

static std::string
run(S7Object client, const std::string &line, int rack, int slot)
{
    std::istringstream in(line);
    std::string verb;
    int err = 0, asked = 0, negotiated = 0;
    TS7CpuInfo info;

    in >> verb;
    if (verb == "read" || verb == "write")
        return items(client, in, verb == "write");
    if (verb == "area")
        return area(client, in);
    if (verb == "connect") {
        err = Cli_ConnectTo(client, "127.0.0.1", rack, slot);
    } else if (verb == "disconnect") {
        err = Cli_Disconnect(client);
    } else if (verb == "pdu") {
        err = Cli_GetPduLength(client, &asked, &negotiated);
        return err ? "error " + code(err) : "ok " + std::to_string(asked) + " " + std::to_string(negotiated);
    } else if (verb == "info") {
        err = Cli_GetCpuInfo(client, &info);
        return err ? "error " + code(err) : std::string("ok ") + info.ModuleTypeName + "," + info.ASName;
    } else if (verb == "status") {
        err = Cli_GetPlcStatus(client, &asked);
        return err ? "error " + code(err) : "ok " + std::to_string(asked);
    } else {
        return "error unknown command";
    }
    return err ? "error " + code(err) : "ok";
}

int
main(int argc, char **argv)
{
    S7Object client = Cli_Create();
    uint16_t port = (uint16_t)(argc > 1 ? std::atoi(argv[1]) : 102);
    int rack = argc > 2 ? std::atoi(argv[2]) : 0, slot = argc > 3 ? std::atoi(argv[3]) : 1;
    std::string line;

    Cli_SetParam(client, p_u16_RemotePort, &port);
    while (std::getline(std::cin, line))
        std::cout << run(client, line, rack, slot) << std::endl;
    Cli_Destroy(&client);
    return 0;
}
