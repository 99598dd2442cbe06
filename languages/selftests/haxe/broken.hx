class Main {
  static function main() {
    var number:Int = "text";
  }
}
