import { Controller, Get, Query } from '@nestjs/common';
import { ListWordsQuery } from './words.dto';
import { WordsService } from './words.service';

@Controller('words')
export class WordsController {
  constructor(private readonly service: WordsService) {}

  @Get()
  list(@Query() query: ListWordsQuery) {
    return this.service.list(query.page, query.limit);
  }
}
