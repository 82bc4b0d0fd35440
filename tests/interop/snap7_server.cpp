/* snap7_server -- the native snap7 server for tests: snap7_server PORT, then commands on standard input.
 *
 *   area AREA NUMBER BYTES     registers I, Q, M, T, C (number 0) or DB
 *   set AREA NUMBER BYTE HEX   get AREA NUMBER BYTE COUNT   drop AREA NUMBER
 *   clients                    how many are connected
 *
 * Each is answered by one line: "ok ..." or "error ...". Built by tools/snap7-peer with the sources of snap7. */
#include "snap7.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

typedef std::vector<unsigned char> Bytes;

static std::map<std::pair<int, int>, Bytes> areas;

static int
area_of(const std::string &name)
{
    static const std::map<std::string, int> codes = {{"I", srvAreaPE}, {"Q", srvAreaPA}, {"M", srvAreaMK},
                                                     {"C", srvAreaCT}, {"T", srvAreaTM}, {"DB", srvAreaDB}};
    std::map<std::string, int>::const_iterator it = codes.find(name);

    return it == codes.end() ? -1 : it->second;
}

static Bytes
from_hex(const std::string &hex)
{
    Bytes out;

    for (size_t i = 0; i + 1 < hex.size(); i += 2)
        out.push_back((unsigned char)std::strtoul(hex.substr(i, 2).c_str(), NULL, 16));
    return out;
}

static std::string
to_hex(const unsigned char *p, size_t n)
{
    std::string out;
    char two[3];

    for (size_t i = 0; i < n; i++) {
        std::snprintf(two, sizeof two, "%02x", p[i]);
        out += two;
    }
    return out;
}

static std::string
get_or_set(S7Object server, Bytes &bytes, const std::string &verb, size_t at, const std::string &word, int area,
           int number)
{
    Bytes data = verb == "set" ? from_hex(word) : Bytes(std::strtoul(word.c_str(), NULL, 10));
    std::string answer = "ok";

    if (at + data.size() > bytes.size())
        return "error outside of the area";
    Srv_LockArea(server, area, (uint16_t)number);
    if (verb == "set")
        std::copy(data.begin(), data.end(), bytes.begin() + (long)at);
    else
        answer += " " + to_hex(&bytes[at], data.size());
    Srv_UnlockArea(server, area, (uint16_t)number);
    return answer;
}

static std::string
run(S7Object server, const std::string &line)
{
    std::istringstream in(line);
    std::string verb, name, word;
    int number = 0, status = 0, cpu = 0, clients = 0;
    size_t at = 0;

    in >> verb;
    if (verb == "clients") {
        Srv_GetStatus(server, &status, &cpu, &clients);
        return "ok " + std::to_string(clients);
    }
    in >> name >> number;
    int area = area_of(name);
    if (!in || area < 0)
        return "error unknown area";
    Bytes &bytes = areas[std::make_pair(area, number)];
    if (verb == "drop")
        return Srv_UnregisterArea(server, area, (uint16_t)number) == 0 ? "ok" : "error not registered";
    in >> at;
    if (verb == "area") {
        bytes.assign(at, 0);
        /* snap7 counts timers and counters, and takes bytes of everything else */
        int size = (int)(area == srvAreaCT || area == srvAreaTM ? at / 2 : at);
        return Srv_RegisterArea(server, area, (uint16_t)number, &bytes[0], size) == 0 ? "ok" : "error not registered";
    }
    in >> word;
    return in && (verb == "set" || verb == "get") ? get_or_set(server, bytes, verb, at, word, area, number)
                                                  : "error unknown command";
}

int
main(int argc, char **argv)
{
    S7Object server = Srv_Create();
    uint16_t port = (uint16_t)(argc > 1 ? std::atoi(argv[1]) : 102);
    std::string line;

    Srv_SetParam(server, p_u16_LocalPort, &port);
    int err = Srv_StartTo(server, "127.0.0.1");
    std::cout << (err == 0 ? "ready" : "error cannot listen") << std::endl;
    while (err == 0 && std::getline(std::cin, line))
        std::cout << run(server, line) << std::endl;
    Srv_Stop(server);
    Srv_Destroy(&server);
    return err == 0 ? 0 : 1;
}
