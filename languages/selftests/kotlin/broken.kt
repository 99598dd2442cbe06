fun main() {
    val number: Int = "text"
}
